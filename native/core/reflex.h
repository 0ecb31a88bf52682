/* Reflexes: what a joint's own measurements say against its command, judged in every tick, whether or not a policy
 * lives. Numbers in, condition bits out.
 *
 * Why native: it stands in the tick. No search, no allocation; some tens of ns a joint.
 *
 * Each reflex has two grades. The first holds: it is raised once its cause has lasted, and clears by itself after a
 * clean window, during which the cause has to stay below a margin under the threshold. The second stops; that it
 * stays is the loop's doing (modes.h). `frozen` and `device` have the second alone.
 *
 *   following  The command passes through the servo's own lag (first order) before it is compared: a fast motion is
 *              late by velocity times lag, and that is no fault.
 *   contact    A momentum observer. Drive duty is what the motor spends on torque and on its own speed (back-EMF):
 *                  outside = lowpass(load - drag * velocity - inertia * change of velocity) - rest
 *              (velocity: the middle one of the last three, so that a single garbled sample is none)
 *              is the torque that the motion does not explain, as a share of the motor's greatest. `rest` adapts
 *              slowly and only while nothing is suspected: gravity, friction, a held object. It is bounded so that a
 *              joint that stands and pushes with all it has is always a contact, however slowly it came to that.
 *              An impact brakes the joint faster than its motor can: outside rises above 1, the second grade.
 *              (De Luca and Mattone, "Sensorless robot collision detection and hybrid force/motion control", 2005,
 *              for one joint at a time: coupling between joints is noise to it, and part of the threshold.)
 *   frozen     Position, velocity and load all the same while the lagged command moves on. A joint at rest says the
 *              same for ever, and so does one that pushes with all it has against something that does not give: that
 *              is a contact.
 *   device     The motor's own error bits, those of `device_bits`, in every reply for `device_ns`. By then it has acted
 *              already: it gives a part of its torque or none, and mostly goes on so until it is switched on anew. So
 *              there is no first grade, which would wait for what does not come and go on with a joint that has let
 *              go: it stops, and arming again switches the motors on anew. Judged only while they are on by us, or
 *              what arming cures would keep the arm from being armed. What the supply does is not among these bits:
 *              that has a measurement, below. Nor, for a gripper, are load and current: to push is what it is for.
 *   hot, low   Motors tell their temperature and voltage a few times a second: two readings in a row count, so that
 *              one that is garbled does not.
 *
 * What is not finite is the worst of its kind, also where the reflex is switched off: a threshold says how much is too
 * much, not whether a number is one. A threshold that is NaN is always exceeded.
 * A sample that is not fresh says nothing about this tick's command and changes nothing.
 *
 * Thread contract: the tick's thread alone.
 */
#ifndef SPINAL_REFLEX_H
#define SPINAL_REFLEX_H

#include "bus.h"
#include "limiter.h"

#include <stdint.h>

/* Of one joint. A threshold of 0 switches its grade off. */
typedef struct sp_reflex_limits {
    double following_hold; /* rad or m between lagged command and measurement */
    double following_stop;
    double contact_hold; /* share of the motor's greatest torque that the motion does not explain */
    double contact_stop;
    double contact_drag;    /* share per rad/s or m/s */
    double contact_inertia; /* share per rad/s^2 or m/s^2 */
    double temperature_hold; /* degree Celsius: above */
    double temperature_stop;
    double voltage_hold; /* V: below */
    double voltage_stop;
    double lag_s;            /* by which the servo follows its command */
    double load_limit;       /* share of the greatest torque that the motor may use */
    double frozen_travel;    /* rad or m that the command moves while the sensor says the same */
    int64_t frozen_ns;       /* and so long after that; 0: not judged */
    int64_t following_ns;    /* following counts when it lasts so long, in either grade */
    int64_t contact_ns;      /* contact_hold when it lasts so long */
    int64_t contact_long_ns; /* contact_hold that lasts so long is of the second grade; 0: never */
    int64_t device_bits;     /* error bits by which the motor says that it protects itself; 0: not judged */
    int64_t device_ns;       /* they count when they last so long */
    int64_t clear_ns;        /* the first grade clears after so long without its cause */
} sp_reflex_limits;

/* One cause over time. Instants are those at which it was judged. */
typedef struct sp_reflex_watch {
    int64_t hold_ns;    /* since when beyond the first threshold; 0: it is not */
    int64_t stop_ns;    /* the second */
    int64_t unclean_ns; /* when it was last not clearly below the first */
    uint32_t held;      /* the first grade is in force */
    uint32_t stop;      /* the second */
} sp_reflex_watch;

typedef struct sp_reflex {
    sp_reflex_watch following, contact, temperature, voltage;
    double lagged;  /* the command as the servo should have followed it */
    double outside; /* torque that the motion does not explain, `rest` included */
    double rest;    /* what the joint carries anyway */
    double position, velocity, load; /* of the last fresh sample */
    double earlier_velocity;         /* and of the one before it */
    double speed;                    /* the middle one of the last three velocities */
    double moved_from; /* the lagged command when the sample last changed */
    int64_t moved_ns;  /* since when the command is too far from there; 0: it is not */
    int64_t tick_ns;   /* the last tick; 0: none since torque is on */
    int64_t fresh_ns;  /* the last with a fresh sample */
    int64_t health_ns; /* stamp of the last reading */
    uint32_t frozen;
    int64_t device_since_ns; /* since when the motor says that it protects itself; 0: it does not */
    uint32_t device;
} sp_reflex;

/* Forgets the past: the joint begins now. */
void sp_reflex_begin(sp_reflex *reflex);

/* One joint, one tick, at `tick_ns` > 0, which rises. `commanded`: what was written last. `health` may be NULL; one
 * whose stamp is 0 was never read, and a value of 0 in it is not known: neither is judged. `energised`: whether the
 * motor is switched on by us; while it is not, following, contact, frozen and device are not judged and begin anew.
 * Returns SP_CONDITION_* bits. */
uint32_t sp_reflex_tick(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                        const sp_joint_health *health, const sp_limiter *commanded, int64_t tick_ns, int energised);

#endif
