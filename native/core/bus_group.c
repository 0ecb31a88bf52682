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
        if (joints[b] < 1)
            return -EINVAL;
        group->buses[b] = buses[b];
        group->joints[b] = joints[b];
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
    }
    group->counts = sum;
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

sp_bus sp_bus_group_view(sp_bus_group *group)
{
    return (sp_bus){
        .context = group,
        .ask = ask_all,
        .read = read_all,
        .write = write_all,
        .counts = &group->counts,
    };
}
