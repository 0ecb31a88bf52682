#include "bus_group.h"

#include <errno.h>
#include <string.h>

int sp_bus_group_init(sp_bus_group *group, const sp_bus *buses, const int *joints, int count)
{
    if (count < 1 || count > SP_GROUP_BUSES)
        return -EINVAL;
    memset(group, 0, sizeof *group);
    group->count = count;
    for (int b = 0; b < count; b++) {
        if (joints[b] < 1 || joints[b] > SP_GROUP_BUS_JOINTS)
            return -EINVAL;
        group->buses[b] = buses[b];
        group->joints[b] = joints[b];
        group->tells |= buses[b].health != NULL;
    }
    return 0;
}

static void add_counts(sp_bus_group *group)
{
    sp_bus_counts sum = {0};
    for (int b = 0; b < group->count; b++) {
        const sp_bus_counts *one = group->buses[b].counts;
        sum.cycles += one->cycles;
        sum.missing_replies += one->missing_replies;
        sum.bad_packets += one->bad_packets;
        sum.failed_writes += one->failed_writes;
        sum.torque_repeats += one->torque_repeats;
    }
    group->counts = sum;
}

/* Side by side, as the samples. A bus that tells nothing leaves its joints at "never". */
static void copy_health(sp_bus_group *group)
{
    sp_joint_health *into = group->health;
    for (int b = 0; b < group->count; b++) {
        if (group->buses[b].health)
            memcpy(into, group->buses[b].health, sizeof *into * (size_t)group->joints[b]);
        into += group->joints[b];
    }
}

static int ask_all(void *context)
{
    sp_bus_group *group = context;
    int failure = 0;
    for (int b = 0; b < group->count; b++) {
        int asked = group->buses[b].ask(group->buses[b].context);
        failure = failure ? failure : asked;
    }
    return failure;
}

static int read_all(void *context, sp_joint_sample *samples, int64_t deadline_ns)
{
    sp_bus_group *group = context;
    int failure = 0, answered = 0;
    for (int b = 0; b < group->count; b++) {
        int read = group->buses[b].read(group->buses[b].context, samples, deadline_ns);
        samples += group->joints[b];
        if (read < 0)
            failure = failure ? failure : read;
        else
            answered += read;
    }
    add_counts(group);
    copy_health(group);
    return failure ? failure : answered;
}

static int write_all(void *context, const sp_limiter *commanded)
{
    sp_bus_group *group = context;
    int failure = 0;
    for (int b = 0; b < group->count; b++) {
        int written = group->buses[b].write(group->buses[b].context, commanded);
        commanded += group->joints[b];
        failure = failure ? failure : written;
    }
    add_counts(group);
    return failure;
}

static int switch_all(void *context, double share)
{
    sp_bus_group *group = context;
    int failure = 0;
    for (int b = 0; b < group->count; b++) {
        const sp_bus *bus = &group->buses[b];
        int switched = bus->torque ? bus->torque(bus->context, share) : -ENOTSUP;
        failure = failure ? failure : switched;
    }
    return failure;
}

sp_bus sp_bus_group_view(sp_bus_group *group)
{
    return (sp_bus){
        .context = group,
        .ask = ask_all,
        .read = read_all,
        .write = write_all,
        .torque = switch_all,
        .health = group->tells ? group->health : NULL,
        .counts = &group->counts,
    };
}
