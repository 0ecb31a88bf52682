/* Reflexes: what a joint's own measurements say against its command, judged in every tick, whether or not a policy
 * lives. Numbers in, condition bits out.
 *
 * Why native: it stands in the tick. No search, no allocation; a cost of some tens of ns a joint.
 *
 * Thread contract: the tick's thread alone.
 */
#ifndef SPINAL_REFLEX_H
#define SPINAL_REFLEX_H

#include "bus.h"
#include "limiter.h"

#include <stdint.h>

/* Of one joint. A threshold of 0 switches its reflex off. Each has two grades: the first holds and clears by itself,
 * the second stops and is latched. */
typedef struct sp_reflex_limits {
    double following_hold; /* rad or m between command and measurement, beyond what the servo's own lag explains */
    double following_stop;
    double contact_hold; /* share of the motor's greatest torque, beyond what the motion explains */
    double contact_stop;
    double temperature_hold; /* degree Celsius */
    double temperature_stop;
    double voltage_hold; /* V: below */
    double voltage_stop;
    double lag_s;         /* by which the servo follows its command */
    int64_t frozen_ns;    /* the same bytes for so long, while the command moved by frozen_travel, is a fault */
    double frozen_travel; /* rad or m */
    int64_t lasting_ns;   /* following and contact count when they last so long */
    int64_t clear_ns;     /* a first-grade reflex clears when its cause has been gone for so long */
} sp_reflex_limits;

typedef struct sp_reflex {
    double lagged;         /* the command as the servo should have followed it */
    double load_rest;      /* what load the joint carries anyway */
    int64_t following_ns;  /* since when it is too far; 0: it is not */
    int64_t contact_ns;
    int64_t cleared_ns[4]; /* when following, contact, temperature, voltage were last too high */
    int64_t changed_ns;    /* when its bytes last changed */
    double changed_command;
    double last_position, last_velocity, last_load;
    uint32_t held; /* first-grade bits in force */
    uint32_t begun;
} sp_reflex;

/* Forgets the past: `joint` begins now. */
void sp_reflex_begin(sp_reflex *reflex);

/* One joint, one tick; `dt_s` the tick's. `health` may be NULL. Returns SP_CONDITION_* bits. `energised`: whether
 * its motor is switched on by us; while it is not, following, contact and frozen are not judged. */
uint32_t sp_reflex_tick(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                        const sp_joint_health *health, const sp_limiter *commanded, double dt_s, int64_t tick_ns,
                        int energised);

#endif
