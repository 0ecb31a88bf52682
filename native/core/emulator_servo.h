/* Inside the emulator: what crosses between the wire side and the physics side, and the register rules.
 *
 * Thread contract: emulator.h. Each pack function is called by the side that owns the values.
 */
#ifndef SPINAL_EMULATOR_SERVO_H
#define SPINAL_EMULATOR_SERVO_H

#include "emulator.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the two sides must never wait for each other");

#define SP_EMULATOR_PHASE_MULTI_TURN 0x10

/* The wire's orders to the motor, unpacked. */
typedef struct sp_emulator_orders {
    int32_t goal, speed, pwm;          /* register units, signed */
    int32_t min, max, homing, torque_limit;
    uint8_t acceleration, mode, torque_writes;
    uint8_t unload, protect_torque, protect_time, overload_torque, p, d, i;
    bool torque, multi_turn;
} sp_emulator_orders;

sp_emulator_orders sp_emulator_servo_orders(const sp_emulator_servo *servo);

static inline int32_t sp_emulator_present_counts(int32_t shaft, int32_t homing, bool multi_turn)
{
    int32_t counts = shaft - homing;
    return multi_turn ? counts : counts & (SP_EMULATOR_TURN - 1);
}

/* wire side */
void sp_emulator_servo_factory(sp_emulator_servo *servo, uint8_t id, uint8_t baud_index);
/* Power off and on. */
void sp_emulator_servo_reboot(sp_emulator_servo *servo);
/* A write from the bus, with locks, read-only registers and side effects. */
void sp_emulator_servo_write(sp_emulator_servo *servo, uint8_t address, const uint8_t *data, size_t count);
/* Brings the read-only registers up to the physics' last word; returns the error byte. */
uint8_t sp_emulator_servo_refresh(sp_emulator_servo *servo);
void sp_emulator_servo_publish(sp_emulator_servo *servo);
int sp_emulator_baud_of(uint8_t index);   /* 0 when there is none */
int sp_emulator_baud_index(int baud);     /* -1 when there is none */

/* before the start */
void sp_emulator_servo_place(sp_emulator_servo *servo, double position_counts);

#endif
