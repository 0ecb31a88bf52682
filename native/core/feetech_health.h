/* What Feetech servos say about themselves: one servo and one block of registers at a time, in turns.
 *
 * A reading costs a cycle no wait: its request stands behind the goals in one write, its reply travels while the tick
 * sleeps, and the next cycle takes it before it asks for positions. A reply that is not there by then is missed; that
 * servo is asked again in its next turn.
 *
 * Why native: it is part of the tick's own write and read. Two blocks, because one read of both would be twice as long
 * on the wire; a joint is as old as the older of its two.
 *
 * Thread contract: the tick's thread alone.
 */
#ifndef SPINAL_FEETECH_HEALTH_H
#define SPINAL_FEETECH_HEALTH_H

#include "bus.h"
#include "feetech.h"

#define SP_FEETECH_BUS_SERVOS 32
#define SP_FEETECH_HEALTH_BLOCKS 2
/* The longer of the two readings, on the wire: a request, and a reply of ten registers. */
#define SP_FEETECH_HEALTH_REQUEST (SP_FEETECH_OVERHEAD + 2)
#define SP_FEETECH_HEALTH_PARAMS 10
#define SP_FEETECH_TORQUE_REPEATS 3

typedef struct sp_feetech_health {
    int count;
    int every; /* cycles from one reading to the next; 0: none */
    int cycle;
    int turn;
    int asked;          /* the turn whose reply is under way; -1: none */
    int void_settings;  /* what it says of settings is of before they were changed */
    int64_t asked_ns;   /* when its request was through: what it says is not older */
    int64_t through_ns; /* when its reply is through at the latest */
    int on;             /* what register 40 and, by servo, register 48 must say */
    uint16_t limits[SP_FEETECH_BUS_SERVOS];
    uint8_t ids[SP_FEETECH_BUS_SERVOS];
    int64_t stamps_ns[SP_FEETECH_BUS_SERVOS][SP_FEETECH_HEALTH_BLOCKS];
    int disobeyed; /* a motor is on that was switched off */
    /* Of switching on: nobody acknowledges it, so motors are asked for their settings first, one after the other, and
     * one that did not hear is told again, up to SP_FEETECH_TORQUE_REPEATS times. Not one that had heard: that has lost its power since. */
    int first_pass; /* settings that are still to be asked for before anything else */
    int unheard;    /* the motor that is to be told again; -1: none */
    uint8_t repeats[SP_FEETECH_BUS_SERVOS];
    uint8_t heard[SP_FEETECH_BUS_SERVOS]; /* 1: it said that it is on */
    uint64_t missed;
    sp_joint_health joints[SP_FEETECH_BUS_SERVOS];
} sp_feetech_health;

void sp_feetech_health_init(sp_feetech_health *health, const uint8_t *ids, int count, int every);
/* Once a cycle: writes the request of the servo whose turn it is and returns its size, or 0 in a cycle without. */
size_t sp_feetech_health_request(sp_feetech_health *health, uint8_t *buffer, size_t capacity);
/* It was sent, and will be through at `sent_ns`. */
void sp_feetech_health_sent(sp_feetech_health *health, int64_t sent_ns, int64_t byte_ns);
/* Whether `packet` is the reply that is under way; takes it if so. */
bool sp_feetech_health_take(sp_feetech_health *health, const sp_feetech_packet *packet);
/* It did not come. */
void sp_feetech_health_miss(sp_feetech_health *health);
/* The motor that did not hear that it is on is not told again: its next word counts as it is. */
void sp_feetech_health_give_up(sp_feetech_health *health);
/* Motors are about to be told other settings: what is under way no longer tells of them. */
void sp_feetech_health_expect(sp_feetech_health *health, int on, const uint16_t *limits);

#endif
