/* The emulated bus as a transport inside one process, on a manual clock.
 *
 * Why native: lock-step runs the same native tick as the robot, only its wire and its clock are others.
 * Thread contract: the wire side of emulator.h; emulator, clock and transport belong to one thread. */
#include "emulator.h"

static int memory_write(void *context, const uint8_t *bytes, size_t count)
{
    sp_emulator *e = context;
    sp_emulator_receive(e, bytes, count, e->clock->now_ns);
    return 0;
}

static int memory_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    sp_emulator *e = context;
    int64_t due_ns = sp_emulator_next_due_ns(e);
    int64_t until_ns = due_ns < deadline_ns ? due_ns : deadline_ns;
    if (until_ns > e->clock->now_ns)
        e->clock->now_ns = until_ns;
    return (int)sp_emulator_take(e, e->clock->now_ns, bytes, capacity);
}

static int memory_discard(void *context)
{
    sp_emulator *e = context;
    sp_emulator_discard(e, e->clock->now_ns);
    return 0;
}

sp_transport sp_emulator_memory_transport(sp_emulator *e, sp_manual_clock *clock)
{
    e->clock = clock;
    return (sp_transport){
        .context = e,
        .write = memory_write,
        .read = memory_read,
        .discard_input = memory_discard,
    };
}
