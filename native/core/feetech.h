/* The Feetech STS/SMS protocol as pure functions: values to bytes and back, no I/O, no memory of its own.
 *
 * Why native: the tick builds its frames and reads its replies without the interpreter and without
 * allocation. Little-endian only (STS, SMS); the big-endian SCS family is not built here.
 *
 * Frame: FF FF | id | length | instruction or error | parameters | checksum, where length counts the
 * parameters plus 2 and checksum is the inverted low byte of the sum from id to the last parameter.
 * Sources: Feetech "Magnetic Coding Steering Gear Protocol Manual" and the vendor's scservo_sdk 1.0.0,
 * whose packets are the golden ones of tests/golden/feetech.json.
 *
 * Thread contract: pure functions; any thread, on buffers it owns.
 */
#ifndef SPINAL_FEETECH_H
#define SPINAL_FEETECH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_FEETECH_BROADCAST 0xFE
#define SP_FEETECH_MAX_ID 0xFD
#define SP_FEETECH_OVERHEAD 6     /* bytes of a frame besides its parameters */
#define SP_FEETECH_MAX_FRAME 250  /* as the vendor's SDK; longer ones are garbage */
#define SP_FEETECH_MAX_PARAMS (SP_FEETECH_MAX_FRAME - SP_FEETECH_OVERHEAD)

enum {
    SP_FEETECH_PING = 0x01,
    SP_FEETECH_READ = 0x02,
    SP_FEETECH_WRITE = 0x03,
    SP_FEETECH_REG_WRITE = 0x04,
    SP_FEETECH_ACTION = 0x05,
    SP_FEETECH_RESET = 0x06,
    SP_FEETECH_SYNC_READ = 0x82,
    SP_FEETECH_SYNC_WRITE = 0x83,
};

/* Bits of a status frame's error byte and of register 65. The reply's data is valid whatever they say. */
enum {
    SP_FEETECH_ERROR_VOLTAGE = 1 << 0,
    SP_FEETECH_ERROR_SENSOR = 1 << 1,
    SP_FEETECH_ERROR_HEAT = 1 << 2,
    SP_FEETECH_ERROR_CURRENT = 1 << 3,
    SP_FEETECH_ERROR_OVERLOAD = 1 << 5,
};

/* Registers of an STS3215: address, then width in bytes. drivers/feetech/registers.py has the units. */
#define SP_FEETECH_MODEL 3
#define SP_FEETECH_MODEL_WIDTH 2
#define SP_FEETECH_ID 5
#define SP_FEETECH_ID_WIDTH 1
#define SP_FEETECH_BAUD 6
#define SP_FEETECH_BAUD_WIDTH 1
#define SP_FEETECH_RETURN_DELAY 7
#define SP_FEETECH_RETURN_DELAY_WIDTH 1
#define SP_FEETECH_STATUS_LEVEL 8
#define SP_FEETECH_STATUS_LEVEL_WIDTH 1
#define SP_FEETECH_MIN_LIMIT 9
#define SP_FEETECH_MIN_LIMIT_WIDTH 2
#define SP_FEETECH_MAX_LIMIT 11
#define SP_FEETECH_MAX_LIMIT_WIDTH 2
#define SP_FEETECH_MAX_TEMPERATURE 13
#define SP_FEETECH_MAX_TEMPERATURE_WIDTH 1
#define SP_FEETECH_MAX_VOLTAGE 14
#define SP_FEETECH_MAX_VOLTAGE_WIDTH 1
#define SP_FEETECH_MIN_VOLTAGE 15
#define SP_FEETECH_MIN_VOLTAGE_WIDTH 1
#define SP_FEETECH_MAX_TORQUE 16
#define SP_FEETECH_MAX_TORQUE_WIDTH 2
#define SP_FEETECH_PHASE 18
#define SP_FEETECH_PHASE_WIDTH 1
#define SP_FEETECH_UNLOAD 19
#define SP_FEETECH_UNLOAD_WIDTH 1
#define SP_FEETECH_ALARM 20
#define SP_FEETECH_ALARM_WIDTH 1
#define SP_FEETECH_P 21
#define SP_FEETECH_P_WIDTH 1
#define SP_FEETECH_D 22
#define SP_FEETECH_D_WIDTH 1
#define SP_FEETECH_I 23
#define SP_FEETECH_I_WIDTH 1
#define SP_FEETECH_MIN_FORCE 24
#define SP_FEETECH_MIN_FORCE_WIDTH 2
#define SP_FEETECH_DEAD_CW 26
#define SP_FEETECH_DEAD_CW_WIDTH 1
#define SP_FEETECH_DEAD_CCW 27
#define SP_FEETECH_DEAD_CCW_WIDTH 1
#define SP_FEETECH_PROTECT_CURRENT 28
#define SP_FEETECH_PROTECT_CURRENT_WIDTH 2
#define SP_FEETECH_RESOLUTION 30
#define SP_FEETECH_RESOLUTION_WIDTH 1
#define SP_FEETECH_HOMING 31
#define SP_FEETECH_HOMING_WIDTH 2
#define SP_FEETECH_MODE 33
#define SP_FEETECH_MODE_WIDTH 1
#define SP_FEETECH_PROTECT_TORQUE 34
#define SP_FEETECH_PROTECT_TORQUE_WIDTH 1
#define SP_FEETECH_PROTECT_TIME 35
#define SP_FEETECH_PROTECT_TIME_WIDTH 1
#define SP_FEETECH_OVERLOAD_TORQUE 36
#define SP_FEETECH_OVERLOAD_TORQUE_WIDTH 1
#define SP_FEETECH_SPEED_P 37
#define SP_FEETECH_SPEED_P_WIDTH 1
#define SP_FEETECH_CURRENT_TIME 38
#define SP_FEETECH_CURRENT_TIME_WIDTH 1
#define SP_FEETECH_SPEED_I 39
#define SP_FEETECH_SPEED_I_WIDTH 1
#define SP_FEETECH_EEPROM_SIZE 40 /* registers below are kept without power when the lock is 0 */
#define SP_FEETECH_TORQUE 40
#define SP_FEETECH_TORQUE_WIDTH 1
#define SP_FEETECH_ACCELERATION 41
#define SP_FEETECH_ACCELERATION_WIDTH 1
#define SP_FEETECH_GOAL 42
#define SP_FEETECH_GOAL_WIDTH 2
#define SP_FEETECH_GOAL_TIME 44
#define SP_FEETECH_GOAL_TIME_WIDTH 2
#define SP_FEETECH_GOAL_SPEED 46
#define SP_FEETECH_GOAL_SPEED_WIDTH 2
#define SP_FEETECH_TORQUE_LIMIT 48
#define SP_FEETECH_TORQUE_LIMIT_WIDTH 2
#define SP_FEETECH_LOCK 55
#define SP_FEETECH_LOCK_WIDTH 1
#define SP_FEETECH_POSITION 56
#define SP_FEETECH_POSITION_WIDTH 2
#define SP_FEETECH_SPEED 58
#define SP_FEETECH_SPEED_WIDTH 2
#define SP_FEETECH_LOAD 60
#define SP_FEETECH_LOAD_WIDTH 2
#define SP_FEETECH_VOLTAGE 62
#define SP_FEETECH_VOLTAGE_WIDTH 1
#define SP_FEETECH_TEMPERATURE 63
#define SP_FEETECH_TEMPERATURE_WIDTH 1
#define SP_FEETECH_ASYNC 64
#define SP_FEETECH_ASYNC_WIDTH 1
#define SP_FEETECH_STATUS 65
#define SP_FEETECH_STATUS_WIDTH 1
#define SP_FEETECH_MOVING 66
#define SP_FEETECH_MOVING_WIDTH 1
#define SP_FEETECH_CURRENT 69
#define SP_FEETECH_CURRENT_WIDTH 2
#define SP_FEETECH_STATE_WIDTH 15 /* 56 to 70 in one read: everything a servo says of itself */

#define SP_FEETECH_TORQUE_SET_MIDDLE 128 /* written to register 40: the present position becomes 2048 */

/* The sign bit of a signed register: its magnitude is in the bits below (not two's complement). */
#define SP_FEETECH_SIGN_POSITION 15 /* goal, position, speeds */
#define SP_FEETECH_SIGN_HOMING 11
#define SP_FEETECH_SIGN_LOAD 10 /* load, and PWM in register 44 */

/* Magnitudes past the sign bit's reach are held at it. */
uint16_t sp_feetech_encode(int32_t value, int sign_bit);
int32_t sp_feetech_decode(uint16_t word, int sign_bit);
static inline void sp_feetech_put16(uint8_t *bytes, uint16_t word)
{
    bytes[0] = (uint8_t)word;
    bytes[1] = (uint8_t)(word >> 8);
}
static inline uint16_t sp_feetech_get16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* Each builder writes one frame into `buffer` and returns its size in bytes, or 0 when the frame would
 * not fit `capacity` or the protocol, an id is no id, or a register range passes 255. */
size_t sp_feetech_frame(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t instruction,
                        const uint8_t *params, size_t count);
size_t sp_feetech_ping(uint8_t *buffer, size_t capacity, uint8_t id);
size_t sp_feetech_action(uint8_t *buffer, size_t capacity, uint8_t id);
size_t sp_feetech_read(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address, uint8_t length);
size_t sp_feetech_write(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address,
                        const uint8_t *data, uint8_t length);
/* As write, but the servo holds it until an action frame. */
size_t sp_feetech_reg_write(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address,
                            const uint8_t *data, uint8_t length);
size_t sp_feetech_sync_read(uint8_t *buffer, size_t capacity, const uint8_t *ids, size_t n,
                            uint8_t address, uint8_t length);
/* `data` holds n runs of `length` bytes, in the order of `ids`. */
size_t sp_feetech_sync_write(uint8_t *buffer, size_t capacity, const uint8_t *ids, size_t n,
                             uint8_t address, uint8_t length, const uint8_t *data);
size_t sp_feetech_status(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t error,
                         const uint8_t *params, size_t count);

/* Bytes that n replies of `length` data bytes take on the wire. */
size_t sp_feetech_replies_size(size_t n, uint8_t length);

typedef struct sp_feetech_packet {
    const uint8_t *params; /* into the scanned bytes: valid as long as they are */
    size_t consumed;       /* bytes that are done with, packet or garbage: scan on from here */
    size_t garbage;        /* of those, bytes that belonged to no packet */
    uint32_t bad_checksums;
    uint8_t id;
    uint8_t error; /* the instruction, when requests are scanned */
    uint8_t count; /* parameters */
} sp_feetech_packet;

/* Finds the next whole frame. Returns true with the packet, or false when more bytes are needed;
 * `consumed`, `garbage` and `bad_checksums` are set either way. After a bad checksum only one byte is
 * given up, so a frame behind a false header is found. Frames with more than `max_params` parameters
 * are garbage: with the expected size there, a false header cannot swallow the replies behind it.
 * `last`: no more bytes will come, so a partial frame is garbage too and what lies behind it is seen. */
bool sp_feetech_scan(const uint8_t *bytes, size_t count, size_t max_params, bool last,
                     sp_feetech_packet *packet);

#endif
