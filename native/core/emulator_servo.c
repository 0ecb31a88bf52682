/* One servo's registers: factory values, who may write what, and what a write causes.
 * Why native and the thread contract: emulator.h; everything here is the wire side but `orders`. */
#include "emulator_servo.h"

#include <math.h>
#include <string.h>

static const int bauds[] = {1000000, 500000, 250000, 128000, 115200, 76800, 57600, 38400};

enum { BAUDS = sizeof bauds / sizeof bauds[0], MAX_TORQUE = 1000, MIDDLE = SP_EMULATOR_TURN / 2 };

int sp_emulator_baud_of(uint8_t index)
{
    return index < BAUDS ? bauds[index] : 0;
}

int sp_emulator_baud_index(int baud)
{
    for (int i = 0; i < BAUDS; i++)
        if (bauds[i] == baud)
            return i;
    return -1;
}

static int32_t word_at(const sp_emulator_servo *servo, uint8_t address)
{
    return sp_feetech_get16(servo->registers + address);
}

static void factory_ram(sp_emulator_servo *servo)
{
    uint8_t *r = servo->registers;
    memset(r + SP_FEETECH_EEPROM_SIZE, 0, sizeof servo->registers - SP_FEETECH_EEPROM_SIZE);
    sp_feetech_put16(r + SP_FEETECH_TORQUE_LIMIT, sp_feetech_get16(r + SP_FEETECH_MAX_TORQUE));
    servo->held_count = 0;
    servo->torque_writes = (servo->torque_writes + 1) & 31;
}

void sp_emulator_servo_factory(sp_emulator_servo *servo, uint8_t id, uint8_t baud_index)
{
    uint8_t *r = servo->registers;
    memset(servo, 0, sizeof *servo);
    r[0] = 3; /* firmware 3.6; model 777 = 9, 3 */
    r[1] = 6;
    r[SP_FEETECH_MODEL] = 9;
    r[SP_FEETECH_MODEL + 1] = 3;
    r[SP_FEETECH_ID] = id;
    r[SP_FEETECH_BAUD] = baud_index;
    r[SP_FEETECH_STATUS_LEVEL] = 1;
    sp_feetech_put16(r + SP_FEETECH_MAX_LIMIT, SP_EMULATOR_TURN - 1);
    r[SP_FEETECH_MAX_TEMPERATURE] = 70;
    r[SP_FEETECH_MAX_VOLTAGE] = 140; /* the 12 V servo; the 7.4 V one has 80 */
    r[SP_FEETECH_MIN_VOLTAGE] = 40;
    sp_feetech_put16(r + SP_FEETECH_MAX_TORQUE, MAX_TORQUE);
    r[SP_FEETECH_PHASE] = 12;
    r[SP_FEETECH_UNLOAD] = 44;
    r[SP_FEETECH_ALARM] = 47;
    r[SP_FEETECH_P] = 32;
    r[SP_FEETECH_D] = 32;
    sp_feetech_put16(r + SP_FEETECH_MIN_FORCE, 16);
    r[SP_FEETECH_DEAD_CW] = 1;
    r[SP_FEETECH_DEAD_CCW] = 1;
    sp_feetech_put16(r + SP_FEETECH_PROTECT_CURRENT, 500);
    r[SP_FEETECH_RESOLUTION] = 1;
    r[SP_FEETECH_PROTECT_TORQUE] = 20;
    r[SP_FEETECH_PROTECT_TIME] = 200;
    r[SP_FEETECH_OVERLOAD_TORQUE] = 80;
    r[SP_FEETECH_SPEED_P] = 10;
    r[SP_FEETECH_CURRENT_TIME] = 200;
    r[SP_FEETECH_SPEED_I] = 10;
    memcpy(servo->eeprom, r, sizeof servo->eeprom);
    factory_ram(servo);
    servo->overload_since_ns = -1;
    atomic_store(&servo->supply, 120u | 30u << 8);
    sp_emulator_servo_place(servo, MIDDLE);
}

static int32_t homing_of(const sp_emulator_servo *servo)
{
    return sp_feetech_decode((uint16_t)word_at(servo, SP_FEETECH_HOMING), SP_FEETECH_SIGN_HOMING);
}

static bool multi_turn(const sp_emulator_servo *servo)
{
    return servo->registers[SP_FEETECH_PHASE] & SP_EMULATOR_PHASE_MULTI_TURN;
}

static int32_t shaft_of(const sp_emulator_servo *servo)
{
    return (int16_t)(uint16_t)atomic_load(&servo->present);
}

static int32_t present_of(const sp_emulator_servo *servo)
{
    return sp_emulator_present_counts(shaft_of(servo), homing_of(servo), multi_turn(servo));
}

void sp_emulator_servo_place(sp_emulator_servo *servo, double position_counts)
{
    servo->shaft_counts = position_counts;
    servo->speed_counts_s = 0;
    atomic_store(&servo->present, (uint16_t)(int64_t)llround(position_counts));
    int32_t present = present_of(servo);
    servo->profile_counts = present;
    servo->profile_counts_s = 0;
    servo->step_goal = present;
    sp_feetech_put16(servo->registers + SP_FEETECH_GOAL,
                     sp_feetech_encode(present, SP_FEETECH_SIGN_POSITION));
    sp_emulator_servo_publish(servo);
}

/* Brings the registers that the servo measures up to the physics' last word. */
static void measure(sp_emulator_servo *servo)
{
    uint8_t *r = servo->registers;
    uint64_t present = atomic_load(&servo->present);
    uint32_t supply = atomic_load(&servo->supply);
    sp_feetech_put16(r + SP_FEETECH_POSITION, sp_feetech_encode(present_of(servo), SP_FEETECH_SIGN_POSITION));
    sp_feetech_put16(r + SP_FEETECH_SPEED, sp_feetech_encode((int16_t)(present >> 16), SP_FEETECH_SIGN_POSITION));
    sp_feetech_put16(r + SP_FEETECH_LOAD, sp_feetech_encode((int16_t)(present >> 32), SP_FEETECH_SIGN_LOAD));
    sp_feetech_put16(r + SP_FEETECH_CURRENT, (uint16_t)(present >> 48 & 0x7FFF));
    r[SP_FEETECH_MOVING] = (uint8_t)(present >> 63);
    r[SP_FEETECH_VOLTAGE] = (uint8_t)supply;
    r[SP_FEETECH_TEMPERATURE] = (uint8_t)(supply >> 8);
}

void sp_emulator_servo_reboot(sp_emulator_servo *servo)
{
    memcpy(servo->registers, servo->eeprom, sizeof servo->eeprom);
    factory_ram(servo);
    measure(servo);
    int32_t present = present_of(servo);
    servo->step_goal = present;
    sp_feetech_put16(servo->registers + SP_FEETECH_GOAL,
                     sp_feetech_encode(present, SP_FEETECH_SIGN_POSITION));
    sp_emulator_servo_publish(servo);
}

/* Packs the orders: three words, whole each. */
void sp_emulator_servo_publish(sp_emulator_servo *servo)
{
    const uint8_t *r = servo->registers;
    int32_t goal = sp_feetech_decode((uint16_t)word_at(servo, SP_FEETECH_GOAL), SP_FEETECH_SIGN_POSITION);
    int32_t speed =
        sp_feetech_decode((uint16_t)word_at(servo, SP_FEETECH_GOAL_SPEED), SP_FEETECH_SIGN_POSITION);
    int32_t pwm = sp_feetech_decode((uint16_t)word_at(servo, SP_FEETECH_GOAL_TIME), SP_FEETECH_SIGN_LOAD);
    if (r[SP_FEETECH_MODE] == SP_EMULATOR_MODE_STEP)
        goal = servo->step_goal;
    uint64_t command = (uint64_t)(uint16_t)goal | (uint64_t)(uint16_t)speed << 16 |
                       (uint64_t)(uint16_t)pwm << 32 | (uint64_t)r[SP_FEETECH_ACCELERATION] << 48 |
                       (uint64_t)(r[SP_FEETECH_MODE] & 3) << 56 |
                       (uint64_t)(r[SP_FEETECH_TORQUE] == 1) << 58 |
                       (uint64_t)servo->torque_writes << 59;
    uint64_t limits = (uint64_t)(uint16_t)word_at(servo, SP_FEETECH_MIN_LIMIT) |
                      (uint64_t)(uint16_t)word_at(servo, SP_FEETECH_MAX_LIMIT) << 16 |
                      (uint64_t)(uint16_t)homing_of(servo) << 32 |
                      (uint64_t)(uint16_t)word_at(servo, SP_FEETECH_TORQUE_LIMIT) << 48;
    uint64_t tuning = (uint64_t)r[SP_FEETECH_UNLOAD] | (uint64_t)r[SP_FEETECH_PROTECT_TORQUE] << 8 |
                      (uint64_t)r[SP_FEETECH_PROTECT_TIME] << 16 |
                      (uint64_t)r[SP_FEETECH_OVERLOAD_TORQUE] << 24 | (uint64_t)r[SP_FEETECH_P] << 32 |
                      (uint64_t)r[SP_FEETECH_D] << 40 | (uint64_t)r[SP_FEETECH_I] << 48 |
                      (uint64_t)r[SP_FEETECH_PHASE] << 56;
    /* The command last: who sees a new goal sees the limits that were set before it. */
    atomic_store(&servo->tuning, tuning);
    atomic_store(&servo->limits, limits);
    atomic_store(&servo->command, command);
}

sp_emulator_orders sp_emulator_servo_orders(const sp_emulator_servo *servo)
{
    uint64_t command = atomic_load(&servo->command);
    uint64_t limits = atomic_load(&servo->limits);
    uint64_t tuning = atomic_load(&servo->tuning);
    int32_t torque_limit = (uint16_t)(limits >> 48);
    return (sp_emulator_orders){
        .goal = (int16_t)(uint16_t)command,
        .speed = (int16_t)(uint16_t)(command >> 16),
        .pwm = (int16_t)(uint16_t)(command >> 32),
        .acceleration = (uint8_t)(command >> 48),
        .mode = command >> 56 & 3,
        .torque = command >> 58 & 1,
        .torque_writes = (uint8_t)(command >> 59),
        .min = (int16_t)(uint16_t)limits,
        .max = (int16_t)(uint16_t)(limits >> 16),
        .homing = (int16_t)(uint16_t)(limits >> 32),
        .torque_limit = torque_limit < MAX_TORQUE ? torque_limit : MAX_TORQUE,
        .unload = (uint8_t)tuning,
        .protect_torque = (uint8_t)(tuning >> 8),
        .protect_time = (uint8_t)(tuning >> 16),
        .overload_torque = (uint8_t)(tuning >> 24),
        .p = (uint8_t)(tuning >> 32),
        .d = (uint8_t)(tuning >> 40),
        .i = (uint8_t)(tuning >> 48),
        .multi_turn = tuning >> 56 & SP_EMULATOR_PHASE_MULTI_TURN,
    };
}

uint8_t sp_emulator_servo_refresh(sp_emulator_servo *servo)
{
    uint8_t *r = servo->registers;
    if (!atomic_load(&servo->faults.frozen))
        measure(servo);
    r[SP_FEETECH_ASYNC] = servo->held_count > 0;

    uint32_t errors = atomic_load(&servo->protection) | (uint32_t)atomic_load(&servo->faults.error_bits);
    if (r[SP_FEETECH_VOLTAGE] > r[SP_FEETECH_MAX_VOLTAGE] || r[SP_FEETECH_VOLTAGE] < r[SP_FEETECH_MIN_VOLTAGE])
        errors |= SP_FEETECH_ERROR_VOLTAGE;
    if (r[SP_FEETECH_TEMPERATURE] > r[SP_FEETECH_MAX_TEMPERATURE])
        errors |= SP_FEETECH_ERROR_HEAT;
    r[SP_FEETECH_STATUS] = (uint8_t)errors;
    return (uint8_t)errors;
}

static bool writable(unsigned address, uint8_t value)
{
    if (address == SP_FEETECH_ID)
        return value <= SP_FEETECH_MAX_ID;
    if (address == SP_FEETECH_BAUD)
        return value < BAUDS;
    return (address > SP_FEETECH_ID && address < SP_FEETECH_POSITION) || (address >= 80 && address <= 86);
}

static bool touched(unsigned address, size_t count, unsigned wanted, unsigned width)
{
    return address < wanted + width && wanted < address + count;
}

/* Register 40 <- 128: the present position becomes 2048, kept in EEPROM whatever the lock says. */
static void set_middle(sp_emulator_servo *servo, uint8_t torque_before)
{
    int32_t turn = shaft_of(servo) & (SP_EMULATOR_TURN - 1);
    sp_feetech_put16(servo->registers + SP_FEETECH_HOMING,
                     sp_feetech_encode(turn - MIDDLE, SP_FEETECH_SIGN_HOMING));
    memcpy(servo->eeprom + SP_FEETECH_HOMING, servo->registers + SP_FEETECH_HOMING, 2);
    servo->registers[SP_FEETECH_TORQUE] = torque_before;
}

void sp_emulator_servo_write(sp_emulator_servo *servo, uint8_t address, const uint8_t *data, size_t count)
{
    uint8_t *r = servo->registers;
    uint8_t torque_before = r[SP_FEETECH_TORQUE];
    uint8_t mode_before = r[SP_FEETECH_MODE];
    bool saved = r[SP_FEETECH_LOCK] == 0; /* the lock as it stood before this frame */
    for (size_t i = 0; i < count; i++) {
        unsigned at = address + (unsigned)i;
        if (at > 255 || !writable(at, data[i]))
            continue;
        r[at] = data[i];
        if (saved && at < SP_FEETECH_EEPROM_SIZE)
            servo->eeprom[at] = data[i];
    }
    if (touched(address, count, SP_FEETECH_TORQUE, 1)) {
        servo->torque_writes = (servo->torque_writes + 1) & 31;
        if (r[SP_FEETECH_TORQUE] == SP_FEETECH_TORQUE_SET_MIDDLE)
            set_middle(servo, torque_before);
    }
    if (r[SP_FEETECH_MODE] != mode_before)
        servo->step_goal = present_of(servo);
    if (touched(address, count, SP_FEETECH_GOAL, SP_FEETECH_GOAL_WIDTH) &&
        r[SP_FEETECH_MODE] == SP_EMULATOR_MODE_STEP) {
        int32_t goal = servo->step_goal + sp_feetech_decode((uint16_t)word_at(servo, SP_FEETECH_GOAL),
                                                            SP_FEETECH_SIGN_POSITION);
        servo->step_goal = goal > INT16_MAX ? INT16_MAX : goal < -INT16_MAX ? -INT16_MAX : goal;
    }
    sp_emulator_servo_publish(servo);
}
