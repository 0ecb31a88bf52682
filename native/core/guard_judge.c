#include "guard_judge.h"

#include <math.h>

int sp_guard_looks(const sp_guard_judgement *judgement, const sp_guard_patience *patience, int64_t heartbeat_ns)
{
    return judgement->begun && heartbeat_ns == judgement->heartbeat_ns && judgement->silent_ns >= patience->look_ns;
}

sp_guard_cause sp_guard_judge(sp_guard_judgement *judgement, const sp_guard_patience *patience,
                              const sp_guard_sight *sight)
{
    if (sight->exited)
        return SP_GUARD_DIED;
    if (sight->heartbeat_ns != judgement->heartbeat_ns) {
        judgement->heartbeat_ns = sight->heartbeat_ns;
        judgement->begun = 1;
        judgement->silent_ns = judgement->stopped_ns = 0;
        return SP_GUARD_ALIVE;
    }
    if (!judgement->begun)
        return SP_GUARD_ALIVE;
    judgement->silent_ns += patience->poll_ns;
    judgement->stopped_ns = sight->stopped ? judgement->stopped_ns + patience->poll_ns : 0;
    if (judgement->silent_ns > judgement->longest_silence_ns)
        judgement->longest_silence_ns = judgement->silent_ns;
    if (judgement->stopped_ns >= patience->stopped_ns)
        return SP_GUARD_STOPPED;
    return judgement->silent_ns >= patience->silent_ns ? SP_GUARD_SILENT : SP_GUARD_ALIVE;
}

int sp_guard_says_stopped(const char *stat, size_t size)
{
    /* "PID (NAME) S ...": the name may hold anything, behind it stand only numbers. */
    size_t end = size;
    while (end > 0 && stat[end - 1] != ')')
        end--;
    if (end == 0 || end + 1 >= size)
        return 0;
    char state = stat[end + 1];
    return state == 'T' || state == 't';
}

static int is_a_motion(const sp_limiter *joint, const sp_limits *limits, sp_joint_kind kind, double dt_s)
{
    double rest = kind == SP_JOINT_ARM ? sp_limiter_brake_path(joint, limits, dt_s).rest : joint->position;
    double range = limits->position_max - limits->position_min;
    /* Not "outside": of NaN neither is true. */
    return isfinite(joint->position) && isfinite(joint->velocity) && isfinite(joint->acceleration) &&
           rest >= limits->position_min - range && rest <= limits->position_max + range;
}

sp_guard_outcome sp_guard_assess(const sp_command *command, const sp_limits *emergency, const sp_joint_kind *kinds,
                                 int joint_count, double dt_s)
{
    if (!command->energised || command->mode == SP_MODE_OFF)
        return SP_GUARD_NOT_ENERGISED;
    if (command->joint_count != joint_count)
        return SP_GUARD_UNUSABLE;
    for (int i = 0; i < joint_count; i++)
        if (!is_a_motion(&command->joints[i], &emergency[i], kinds[i], dt_s))
            return SP_GUARD_UNUSABLE;
    return SP_GUARD_BRAKED;
}

void sp_guard_brake(sp_limiter *joints, const sp_limits *emergency, const sp_joint_kind *kinds, int joint_count,
                    double dt_s)
{
    for (int i = 0; i < joint_count; i++) {
        if (kinds[i] == SP_JOINT_ARM)
            sp_limiter_brake_or_return(&joints[i], &emergency[i], &emergency[i], dt_s);
        else
            sp_limiter_step_gripper(&joints[i], &emergency[i], dt_s, joints[i].position);
    }
}

int sp_guard_at_rest(const sp_limiter *joints, int joint_count)
{
    for (int i = 0; i < joint_count; i++)
        if (fabs(joints[i].velocity) > 1e-9 || fabs(joints[i].acceleration) > 1e-6)
            return 0;
    return 1;
}
