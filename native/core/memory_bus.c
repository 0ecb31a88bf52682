#include "memory_bus.h"

#include <errno.h>
#include <string.h>

int sp_memory_bus_init(sp_memory_bus *bus, int count)
{
    memset(bus, 0, sizeof *bus);
    bus->count = count;
    return count >= 1 && count <= SP_MEMORY_BUS_JOINTS ? 0 : -EINVAL;
}

static int ask_joints(void *context)
{
    sp_memory_bus *bus = context;
    bus->counts.cycles++;
    return bus->read_failure;
}

static int read_joints(void *context, sp_joint_sample *samples, int64_t deadline_ns)
{
    sp_memory_bus *bus = context;
    int answered = 0;
    (void)deadline_ns;
    for (int i = 0; i < bus->count; i++) {
        int answers = !bus->read_failure && bus->samples[i].fresh;
        if (answers)
            samples[i] = bus->samples[i];
        samples[i].fresh = answers;
        answered += answers;
    }
    bus->counts.missing_replies += (uint64_t)(bus->count - answered);
    return bus->read_failure ? bus->read_failure : answered;
}

static int write_joints(void *context, const sp_limiter *commanded)
{
    sp_memory_bus *bus = context;
    if (bus->write_failure) {
        bus->counts.failed_writes++;
        return bus->write_failure;
    }
    memcpy(bus->written, commanded, sizeof *commanded * (size_t)bus->count);
    bus->writes++;
    return 0;
}

static int switch_torque(void *context, double share)
{
    sp_memory_bus *bus = context;
    if (bus->share_count < SP_MEMORY_BUS_SHARES) {
        bus->share_writes[bus->share_count] = bus->writes;
        bus->shares[bus->share_count++] = share;
    }
    return bus->torque_failure;
}

sp_bus sp_memory_bus_view(sp_memory_bus *bus, int tells)
{
    return (sp_bus){
        .context = bus,
        .ask = ask_joints,
        .read = read_joints,
        .write = write_joints,
        .torque = tells ? switch_torque : NULL,
        .health = tells ? bus->healths : NULL,
        .counts = &bus->counts,
    };
}
