/* The physics side of the emulator: the servo's internal profile, what its motor is told, what it measures.
 * Why native and the thread contract: emulator.h. */
#include "emulator_servo.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { ACCELERATION_UNIT = 100 /* counts/s^2 of register 41, Feetech ST3215 memory table */ };

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* A point on its way to rest at `goal`: one step of the time-optimal profile under `speed` and
 * `acceleration`, exact whatever the step.
 * 1. Face the goal as seen from where braking now would end; mirror so that it lies ahead.
 * 2. Above the speed limit: brake to it. Below: speed up to the limit or to the peak from which braking
 *    still ends at the goal.
 * 3. Cruise, brake, rest. Walk these phases for `dt_s`. */
static void trapezoid(double *position, double *velocity, double goal, double speed, double acceleration,
                      double dt_s)
{
    double stop = *position + *velocity * fabs(*velocity) / (2 * acceleration);
    double side = goal >= stop ? 1 : -1;
    double distance = side * (goal - *position);
    double v = side * *velocity;
    double peak = fmin(speed, sqrt(fmax(0, acceleration * distance + v * v / 2)));
    if (v > speed)
        peak = speed;
    double change_s = fabs(peak - v) / acceleration;
    double change = (peak + v) / 2 * change_s;
    double brake_s = peak / acceleration;
    double cruise_s = peak > 0 ? fmax(0, distance - change - peak * brake_s / 2) / peak : 0;

    if (dt_s >= change_s + cruise_s + brake_s) {
        *position = goal;
        *velocity = 0;
        return;
    }

    double at = 0, t = fmin(dt_s, change_s), slope = peak >= v ? acceleration : -acceleration;
    at += v * t + slope * t * t / 2;
    v += slope * t;
    dt_s -= t;
    if (dt_s > 0) {
        v = peak;
        t = fmin(dt_s, cruise_s);
        at += v * t;
        dt_s -= t;
    }
    if (dt_s > 0) {
        at += v * dt_s - acceleration * dt_s * dt_s / 2;
        v -= acceleration * dt_s;
    }
    *position += side * at;
    *velocity = side * v;
}

static int32_t whole(double counts)
{
    return (int32_t)llround(counts);
}

static int32_t present_counts(const sp_emulator_servo *servo, const sp_emulator_orders *orders)
{
    /* Through 16 bits like the wire side's copy, so that both see the same register. */
    int32_t shaft = (int16_t)(uint16_t)whole(servo->shaft_counts);
    return sp_emulator_present_counts(shaft, orders->homing, orders->multi_turn);
}

static double goal_counts(const sp_emulator_orders *orders)
{
    /* Both limits 0 is the table's multi-turn setting: no limit. A step mode goal is relative: none either. */
    if (orders->mode == SP_EMULATOR_MODE_STEP || (orders->min == 0 && orders->max == 0))
        return orders->goal;
    return clamp(orders->goal, orders->min, orders->max);
}

static void move_velocity(sp_emulator_servo *servo, const sp_emulator_orders *orders, double dt_s)
{
    double step = orders->acceleration * (double)ACCELERATION_UNIT * dt_s;
    double left = orders->speed - servo->profile_counts_s;
    if (orders->acceleration == 0 || fabs(left) <= step)
        servo->profile_counts_s = orders->speed;
    else
        servo->profile_counts_s += left > 0 ? step : -step;
}

static void move_position(sp_emulator_servo *servo, const sp_emulator_orders *orders, double dt_s)
{
    double goal = goal_counts(orders);
    double speed = orders->speed != 0 ? fabs((double)orders->speed) : SP_EMULATOR_MAX_SPEED;
    if (orders->acceleration == 0 && orders->speed == 0) {
        servo->profile_counts = goal;
        servo->profile_counts_s = 0;
    } else if (orders->acceleration == 0) {
        double left = goal - servo->profile_counts;
        double step = clamp(left, -speed * dt_s, speed * dt_s);
        servo->profile_counts += step;
        servo->profile_counts_s = step == left ? 0 : copysign(speed, left);
    } else {
        trapezoid(&servo->profile_counts, &servo->profile_counts_s, goal, speed,
                  orders->acceleration * (double)ACCELERATION_UNIT, dt_s);
    }
}

/* Overload: load over register 36 (percent) for register 35 (10 ms) cuts the torque to register 34
 * (percent) until register 40 is written. */
static void protect(sp_emulator_servo *servo, const sp_emulator_orders *orders, int64_t now_ns)
{
    bool over = orders->torque && abs(servo->load_permille) > 10 * orders->overload_torque;
    if (servo->seen_torque_writes != orders->torque_writes) {
        servo->seen_torque_writes = orders->torque_writes;
        servo->overload_since_ns = -1;
        atomic_store(&servo->protection, 0);
    }
    if (!over || !(orders->unload & SP_FEETECH_ERROR_OVERLOAD))
        servo->overload_since_ns = -1;
    else if (servo->overload_since_ns < 0)
        servo->overload_since_ns = now_ns;
    else if (now_ns - servo->overload_since_ns >= orders->protect_time * INT64_C(10000000))
        atomic_store(&servo->protection, SP_FEETECH_ERROR_OVERLOAD);
}

void sp_emulator_advance(sp_emulator *e, int64_t now_ns)
{
    double dt_s = e->has_advanced ? (double)(now_ns - e->advanced_ns) * 1e-9 : 0;
    if (dt_s < 0)
        return;
    e->has_advanced = true;
    e->advanced_ns = now_ns;
    for (int i = 0; i < e->n; i++) {
        sp_emulator_servo *servo = &e->servos[i];
        sp_emulator_orders orders = sp_emulator_servo_orders(servo);
        protect(servo, &orders, now_ns);
        bool was_on = servo->torque;
        servo->torque = orders.torque;
        if (!orders.torque || !was_on) {
            servo->profile_counts = present_counts(servo, &orders);
            servo->profile_counts_s = 0;
        }
        if (!orders.torque)
            continue;
        if (orders.mode == SP_EMULATOR_MODE_VELOCITY) {
            move_velocity(servo, &orders, dt_s);
            servo->profile_counts = present_counts(servo, &orders);
        } else if (orders.mode != SP_EMULATOR_MODE_PWM) {
            move_position(servo, &orders, dt_s);
        }
    }
}

int sp_emulator_reference(const sp_emulator *e, int index, sp_emulator_drive *drive)
{
    if (index < 0 || index >= e->n)
        return -EINVAL;
    const sp_emulator_servo *servo = &e->servos[index];
    sp_emulator_orders orders = sp_emulator_servo_orders(servo);
    int32_t limit = orders.torque_limit;
    if (atomic_load(&servo->protection) & SP_FEETECH_ERROR_OVERLOAD && limit > 10 * orders.protect_torque)
        limit = 10 * orders.protect_torque;
    /* From register counts back to the shaft: homing offset and whole turns, as they stand now. */
    double base = whole(servo->shaft_counts) - present_counts(servo, &orders);
    *drive = (sp_emulator_drive){
        .position_counts = servo->profile_counts + base,
        .velocity_counts_s = servo->profile_counts_s,
        .pwm_permille = orders.mode == SP_EMULATOR_MODE_PWM ? orders.pwm : 0,
        .torque_limit_permille = limit,
        .p = orders.p,
        .d = orders.d,
        .i = orders.i,
        .mode = orders.mode,
        .torque = servo->torque,
    };
    return 0;
}

int sp_emulator_set_present(sp_emulator *e, int index, double position_counts, double velocity_counts_s,
                            int load_permille, int current, bool moving)
{
    if (index < 0 || index >= e->n || !(fabs(position_counts) < 1e9) || !isfinite(velocity_counts_s))
        return -EINVAL;
    sp_emulator_servo *servo = &e->servos[index];
    servo->shaft_counts = position_counts;
    servo->speed_counts_s = velocity_counts_s;
    servo->load_permille = (int32_t)clamp(load_permille, -1000, 1000);
    uint16_t speed = (uint16_t)whole(clamp(velocity_counts_s, -INT16_MAX, INT16_MAX));
    uint64_t amps = (uint64_t)clamp(current, 0, 0x7FFF);
    atomic_store(&servo->present, (uint64_t)(uint16_t)whole(position_counts) | (uint64_t)speed << 16 |
                                      (uint64_t)(uint16_t)servo->load_permille << 32 | amps << 48 |
                                      (uint64_t)moving << 63);
    return 0;
}

int sp_emulator_set_supply(sp_emulator *e, int index, int decivolts, int celsius)
{
    if (index < 0 || index >= e->n || decivolts < 0 || decivolts > 255 || celsius < 0 || celsius > 255)
        return -EINVAL;
    atomic_store(&e->servos[index].supply, (uint32_t)decivolts | (uint32_t)celsius << 8);
    return 0;
}

void sp_emulator_follow(sp_emulator *e, int64_t now_ns, int64_t lag_ns)
{
    double dt_s = e->has_followed ? (double)(now_ns - e->followed_ns) * 1e-9 : 0;
    if (dt_s < 0)
        return;
    e->has_followed = true;
    e->followed_ns = now_ns;
    sp_emulator_advance(e, now_ns);
    double part = lag_ns > 0 ? -expm1(-dt_s * 1e9 / (double)lag_ns) : 1;
    for (int i = 0; i < e->n; i++) {
        sp_emulator_servo *servo = &e->servos[i];
        sp_emulator_drive drive;
        sp_emulator_reference(e, i, &drive);
        double moved = 0;
        if (drive.torque && drive.mode == SP_EMULATOR_MODE_VELOCITY)
            moved = drive.velocity_counts_s * dt_s;
        else if (drive.torque && drive.mode != SP_EMULATOR_MODE_PWM)
            moved = part * (drive.position_counts - servo->shaft_counts);
        double velocity = dt_s > 0 ? moved / dt_s : 0;
        /* Without anything to move, the duty is what the speed takes. */
        int load_permille = (int)(1000 * clamp(velocity / SP_EMULATOR_MAX_SPEED, -1, 1));
        sp_emulator_set_present(e, i, servo->shaft_counts + moved, velocity, load_permille, 0, fabs(velocity) >= 1);
    }
}
