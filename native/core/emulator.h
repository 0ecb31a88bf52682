/* A bus of up to 32 Feetech STS3215 servos, register by register and byte time by byte time.
 *
 * Why native: in the live process it answers from a real-time thread (emulator_server.h); in lock-step it
 * runs inside the tick's own call, many times real time. No threads, no allocation, no clock of its own:
 * every call is given CLOCK_MONOTONIC or manual nanoseconds.
 *
 * Two frames of position: *shaft counts* (4096 a turn, unbounded, what the physics knows) and *register
 * counts* (what the bus sees): register = (shaft - homing offset) modulo one turn, or without the modulo
 * when bit 4 of the phase register (18) is set. A goal acts like the firmware's: the error is goal minus
 * present in register counts, so the reference never takes the short way round the turn's seam.
 *
 * Wire time: a frame of n bytes takes n * 10 bits / baud from the instant its first byte was handed over,
 * or from when the bytes before it are through; then each reply comes after its servo's return delay and
 * is due whole at the instant of its last byte. In a sync read a servo that says nothing leaves its slot
 * empty and the next keeps its place. Bytes written while a reply is still on its way are a collision:
 * what was on its way is lost, as on half-duplex copper.
 *
 * Chosen where the memory table is silent (not measured on hardware): an unknown or malformed instruction
 * gets no answer, since no error bit names it; an out-of-range goal stays in its register and is clamped
 * on use; enabling torque drives to whatever the goal register holds, the harder case for a driver; writing a
 * goal does not enable torque; overload latches until register 40 is written.
 *
 * Source of registers, factory values and units: Feetech's ST3215 memory table as reproduced by the vendor's
 * SMS_STS.h and the register list of the `st3215` crate. It gives acceleration in 100 counts/s^2 (41) and
 * speed in counts/s (46). Baud indices 5 to 7 are 76800, 57600, 38400 there.
 *
 * Thread contract, two threads, neither ever waits for the other:
 *   wire side     init, place, receive, next_due_ns, take, discard, register_*, power_cycle, transport
 *   physics side  advance, reference, set_present, set_supply, follow
 *   any thread    the fields of faults, lose_replies, lose_power, and stats
 * Registers belong to the wire side. What crosses is packed into 64-bit atomic words, each one whole: a present
 * state is always of one instant; goal and speed are of one frame; limits and gains may be one frame apart
 * from them. init and place come before either side runs. In lock-step one thread is both.
 */
#ifndef SPINAL_EMULATOR_H
#define SPINAL_EMULATOR_H

#include "clock.h"
#include "feetech.h"
#include "transport.h"

#include <stdatomic.h>

#define SP_EMULATOR_MAX_SERVOS 32
#define SP_EMULATOR_MAX_REPLIES 64 /* on their way at once */
#define SP_EMULATOR_NEVER INT64_MAX
#define SP_EMULATOR_TURN 4096
/* An input that stops inside a frame for this long is forgotten, so its tail cannot eat the next frame.
 * The servo's own figure is not published. */
#define SP_EMULATOR_FRAME_GAP_NS 20000000
/* No-load speed when the speed register is 0: 45 rpm at 12 V, in counts/s. */
#define SP_EMULATOR_MAX_SPEED 3072

enum {
    SP_EMULATOR_MODE_POSITION = 0,
    SP_EMULATOR_MODE_VELOCITY = 1,
    SP_EMULATOR_MODE_PWM = 2,
    SP_EMULATOR_MODE_STEP = 3,
};

/* Faults of one servo, all off at zero. Any thread may set them at any time. */
typedef struct sp_emulator_faults {
    _Atomic int32_t drop_replies;    /* so many of the next replies are lost; their time on the wire passes */
    _Atomic int32_t corrupt_replies; /* so many of the next replies have one byte inverted */
    _Atomic int32_t corrupt_byte;    /* which one, counted from the frame's start, modulo its size */
    _Atomic int32_t silent;          /* obeys, but never replies */
    _Atomic int32_t unplugged;       /* hears nothing */
    _Atomic int32_t error_bits;      /* added to every error byte and to register 65 */
    _Atomic int32_t frozen;          /* measures nothing any more: registers 56 to 70 keep their bytes */
    _Atomic int32_t power_cycles;    /* so often it is to lose its power: take_power */
    _Atomic int64_t extra_delay_ns;  /* before each reply, on top of the return delay */
} sp_emulator_faults;

/* Counters since init; written by the wire side, readable from any thread. */
typedef struct sp_emulator_stats {
    _Atomic uint64_t packets;            /* requests with a good checksum */
    _Atomic uint64_t bad_checksums;
    _Atomic uint64_t garbage_bytes;
    _Atomic uint64_t instruction_errors; /* unknown or malformed requests */
    _Atomic uint64_t replies;            /* put on the wire */
    _Atomic uint64_t collisions;         /* times the host spoke into a reply, or two servos spoke at once */
    _Atomic uint64_t lost_replies;       /* by collisions or faults */
    _Atomic uint64_t busy_ns;            /* time the line carried bytes */
} sp_emulator_stats;

/* What the motor of one servo is told to do. */
typedef struct sp_emulator_drive {
    double position_counts;        /* shaft counts of the internal reference (position and step mode) */
    double velocity_counts_s;      /* of that reference; in velocity mode the commanded speed */
    double pwm_permille;           /* PWM mode: signed output */
    int32_t torque_limit_permille; /* of stall torque, after overload protection */
    uint8_t p, d, i;               /* gain registers 21 to 23 */
    uint8_t mode;
    bool torque;
} sp_emulator_drive;

/* The servo itself: fields are the emulator's own. */
typedef struct sp_emulator_servo {
    /* wire side */
    uint8_t registers[256];
    uint8_t eeprom[SP_FEETECH_EEPROM_SIZE]; /* what survives a power cycle */
    uint8_t held[SP_FEETECH_MAX_PARAMS];    /* a reg write waiting for its action: address, data */
    uint8_t held_count;
    uint8_t torque_writes;
    int32_t step_goal;
    /* crossing */
    _Atomic uint64_t command;
    _Atomic uint64_t limits;
    _Atomic uint64_t tuning;
    _Atomic uint64_t present;
    _Atomic uint32_t supply;
    _Atomic uint32_t protection; /* error bits that the physics side found */
    sp_emulator_faults faults;
    /* physics side */
    double shaft_counts;
    double speed_counts_s;
    double profile_counts; /* register counts */
    double profile_counts_s;
    int64_t overload_since_ns;
    int32_t load_permille;
    uint8_t seen_torque_writes;
    bool torque;
} sp_emulator_servo;

typedef struct sp_emulator_reply {
    int64_t due_ns;
    uint16_t size;
    uint16_t taken;
    uint8_t bytes[SP_FEETECH_MAX_FRAME];
} sp_emulator_reply;

typedef struct sp_emulator {
    int32_t n;
    int32_t baud;
    /* wire side */
    int64_t in_start_ns; /* of the run of bytes that the host sent without a pause */
    int64_t in_end_ns;
    int64_t in_bytes;
    size_t held;
    uint8_t input[SP_FEETECH_MAX_FRAME + SP_FEETECH_OVERHEAD];
    uint32_t first;
    uint32_t pending;
    sp_manual_clock *clock; /* of the memory transport */
    uint32_t written;       /* servos that the request being obeyed wrote to */
    struct sp_ring *tap;    /* what arrives is recorded there (emulator_tap.h); NULL: nowhere */
    /* physics side */
    int64_t advanced_ns;
    int64_t followed_ns;
    bool has_advanced;
    bool has_followed;
    /* any */
    sp_emulator_stats stats;
    sp_emulator_servo servos[SP_EMULATOR_MAX_SERVOS];
    sp_emulator_reply replies[SP_EMULATOR_MAX_REPLIES];
} sp_emulator;

/* n servos with factory registers, their ids, and the baud index of `baud`; at shaft count 2048, torque off.
 * -EINVAL for no or more than 32 servos, an id past 253, an id twice, or a rate that the servo has not. */
int sp_emulator_init(sp_emulator *e, const uint8_t *ids, int n, int baud);
/* Puts a shaft (and with it the goal register) somewhere before the start. -EINVAL: index or not finite. */
int sp_emulator_place(sp_emulator *e, int index, double position_counts);

/* wire side ------------------------------------------------------------------------------------------- */

/* The host handed over n bytes at now_ns. Requests act at once; their replies wait for their due time. */
void sp_emulator_receive(sp_emulator *e, const uint8_t *bytes, size_t n, int64_t now_ns);
/* When the next reply's last byte is through, or SP_EMULATOR_NEVER. */
int64_t sp_emulator_next_due_ns(const sp_emulator *e);
/* Copies what is through by now_ns, in order, as much as fits; returns how many bytes. */
size_t sp_emulator_take(sp_emulator *e, int64_t now_ns, uint8_t *out, size_t capacity);
/* Throws away what is through by now_ns. */
void sp_emulator_discard(sp_emulator *e, int64_t now_ns);
/* What a read of one register byte would say, and a write past every rule (tests, set-up). -EINVAL: index. */
int sp_emulator_register_get(sp_emulator *e, int index, uint8_t address);
int sp_emulator_register_put(sp_emulator *e, int index, uint8_t address, uint8_t value);
/* Power off and on: EEPROM registers as last saved, the others as from the factory; the shaft stays. */
int sp_emulator_power_cycle(sp_emulator *e, int index);
/* Carries out what lose_power asked for. */
void sp_emulator_take_power(sp_emulator *e);
/* The bus as a transport in the same process on a manual clock, for lock-step. A write is handed over at the
 * clock's now; a read moves the clock to the next due instant, or to its deadline and returns 0. */
sp_transport sp_emulator_memory_transport(sp_emulator *e, sp_manual_clock *clock);

/* any thread ------------------------------------------------------------------------------------------ */

/* So many more of the next replies are lost, or have one byte inverted. -EINVAL: index. */
int sp_emulator_lose_replies(sp_emulator *e, int index, int32_t drop, int32_t corrupt);
/* Asks for a power cycle, which happens in take_power. -EINVAL: index. */
int sp_emulator_lose_power(sp_emulator *e, int index);

/* physics side ---------------------------------------------------------------------------------------- */

/* Moves every internal reference to now_ns: straight to the goal when registers 41 and 46 are 0, otherwise
 * along a trapezoid of that acceleration and speed. Time that goes back is ignored. */
void sp_emulator_advance(sp_emulator *e, int64_t now_ns);
/* As of the last advance. -EINVAL: index. */
int sp_emulator_reference(const sp_emulator *e, int index, sp_emulator_drive *drive);
/* load in permille of stall torque (signed), current in register units of 6.5 mA.
 * -EINVAL: index, or a position or velocity that is no finite count; nothing is changed then. */
int sp_emulator_set_present(sp_emulator *e, int index, double position_counts, double velocity_counts_s,
                            int load_permille, int current, bool moving);
/* 0.1 V and degrees Celsius, 0 to 255. -EINVAL otherwise. */
int sp_emulator_set_supply(sp_emulator *e, int index, int decivolts, int celsius);
/* Servos without physics: advances, and each present position follows its reference as a first-order lag. */
void sp_emulator_follow(sp_emulator *e, int64_t now_ns, int64_t lag_ns);

#endif
