/* One tick, again and again, with nothing in it that the machine's mood could move: ideal servos in memory, a manual
 * clock, no file, no thread, no allocation. Linked with the sources of native/core, built as the extension modules are.
 *
 *     harness JOINTS TICKS [count | mark]
 *
 * Warms up for WARM_TICKS, then measures TICKS. A chunk of 50 waypoints is published before every fifth tick, so that
 * tick receives it and hands off; every 64th counts page faults. Each kind of tick is called from a function of its
 * own, which a profiler can tell apart.
 *
 *     count  tells a preloaded count_calls.c when a tick begins and ends, and counts page faults in ticks
 *     mark   the same for trace_calls.c, by a system call that does not exist
 *
 * Prints one JSON object; leaves with 1 and a sentence when the loop did not run as it should.
 */
#define _GNU_SOURCE
#include "bus_group.h"
#include "feetech_bus.h"
#include "loop.h"
#include "mirror.h"

#include <math.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plant.h"

enum {
    WARM_TICKS = 256,
    CHUNK_TICKS = 5,
    SLOW_TICKS = 64, /* as in loop.c */
    WAYPOINTS = 50,
    BUSES = 2,
    STATE_SLOTS = 8,
    ORDER_SLOTS = 4,
    PATH_SLOTS = 4,
    RECORD_SLOTS = 16,
    FIRST_ID = 1,
    BAUD = 1000000,
    HEALTH_EVERY = 1, /* the dearest tick, and all alike */
    MARK_SYSCALL = 0x5350, /* no kernel has it: it only shows in a trace */
};

#define DT_NS 4000000LL
#define STEP_NS 20000000LL
#define EPOCH_NS 10000000000LL
#define FOREVER_NS (1LL << 60)
#define TURN 6.283185307179586
#define PATTERN 6 /* joints repeat with this period: every size sees the same mix of motions */

typedef struct mapped {
    alignas(64) sp_mailbox box;
    uint8_t slots[1 << 21];
} mapped;

static mapped state_box, command_box, path_box, order_box[2];
static struct {
    alignas(64) sp_ring ring;
    uint8_t slots[RECORD_SLOTS * sizeof(sp_tick_record)];
} records;
static _Atomic uint64_t record_tail;
static sp_tick_record drained[RECORD_SLOTS];
static sp_loop_stats stats;
static _Atomic int64_t heartbeat_ns;
static sp_manual_clock manual;
static sp_mirror mirrors[BUSES];
static sp_transport planted[BUSES];
static sp_feetech_bus lines[BUSES];
static sp_bus_group group;
static sp_loop loop;

/* Of count_calls.c, where it is preloaded. */
__attribute__((weak)) void count_calls_watch(long thread_id);
__attribute__((weak)) void count_calls_print(void);

typedef enum { PLAIN, COUNT, MARK } way;

static void fail(const char *what)
{
    fprintf(stderr, "the harness did not measure a running tick: %s\n", what);
    exit(1);
}

static void lay_out(sp_mailbox *box, size_t bytes, uint32_t slots)
{
    if (sp_mailbox_size(bytes, slots) > sizeof(mapped))
        fail("a mailbox does not fit");
    memset(box, 0, sizeof(mapped));
    sp_mailbox_init(box, bytes, slots);
}

static sp_bus wire_up(int joints)
{
    static const double rad_per_count = TURN / 4096;
    sp_bus views[BUSES];
    int buses = joints > SP_FEETECH_BUS_SERVOS ? 2 : 1, sizes[BUSES];
    sizes[0] = (joints + buses - 1) / buses;
    sizes[1] = joints - sizes[0];
    for (int b = 0; b < buses; b++) {
        sp_feetech_joint servos[SP_FEETECH_BUS_SERVOS];
        for (int i = 0; i < sizes[b]; i++)
            servos[i] = (sp_feetech_joint){(uint8_t)(FIRST_ID + i), 2048, i % 2 ? -rad_per_count : rad_per_count, 0, 4095, 1};
        sp_mirror_init(&mirrors[b], 2048);
        planted[b] = plant(sp_mirror_transport(&mirrors[b]), sizes[b]);
        if (sp_feetech_bus_init(&lines[b], servos, sizes[b], BAUD, HEALTH_EVERY, planted[b], sp_clock_manual(&manual)))
            fail("the bus does not take the joints");
        views[b] = sp_feetech_bus_view(&lines[b]);
    }
    if (buses == 1)
        return views[0];
    if (sp_bus_group_init(&group, views, sizes, buses))
        fail("the buses make no group");
    return sp_bus_group_view(&group);
}

static void set_up(int joints)
{
    static sp_loop_config config;
    manual.now_ns = EPOCH_NS;
    lay_out(&state_box.box, sizeof(sp_state), STATE_SLOTS);
    lay_out(&command_box.box, sizeof(sp_command), STATE_SLOTS);
    lay_out(&path_box.box, sizeof(sp_trajectory), PATH_SLOTS);
    memset(&records, 0, sizeof records);
    sp_ring_init(&records.ring, offsetof(sp_tick_record, joints) + sizeof(sp_joint_record) * (size_t)joints, RECORD_SLOTS);
    memset(drained, 0, sizeof drained);
    for (int giver = 0; giver < 2; giver++) {
        sp_order run = {.stamp_ns = 0, .valid_until_ns = FOREVER_NS, .kind = SP_ORDER_RUN, .speed = 1};
        lay_out(&order_box[giver].box, sizeof run, ORDER_SLOTS);
        sp_mailbox_publish(&order_box[giver].box, &run, sizeof run);
        config.orders[giver] = &order_box[giver].box;
    }
    config.dt_ns = DT_NS;
    config.read_budget_ns = DT_NS / 2;
    config.joint_age_limit_ns = 50000000;
    config.missed_to_hold = 3;
    config.tail_limit_ns = FOREVER_NS;
    config.fade_ns = 2000000000;
    config.joint_count = joints;
    config.order_count = 2;
    for (int i = 0; i < joints; i++) {
        config.kinds[i] = SP_JOINT_ARM;
        config.limits[i] = (sp_limits){-2.0, 2.0, 4.7, 80.0, 4000.0};
        config.emergency[i] = (sp_limits){-2.0, 2.0, 4.7, 120.0, 20000.0};
    }
    config.trajectories = &path_box.box;
    config.state = &state_box.box;
    config.commands = &command_box.box;
    config.records = &records.ring;
    config.record_tail = &record_tail;
    config.stats = &stats;
    config.heartbeat_ns = &heartbeat_ns;
    sp_loop_init(&loop, &config, sp_clock_manual(&manual), wire_up(joints));
}

/* A slow wave for each joint; chunks differ by some mrad, as a policy's answers do, so there is something to blend. */
static void publish_chunk(int joints, int64_t now_ns, int number)
{
    sp_trajectory *path = sp_mailbox_begin(&path_box.box);
    *path = (sp_trajectory){
        .id = sp_mailbox_latest(&path_box.box) + 1,
        .observation_stamp_ns = now_ns - STEP_NS,
        .sensor_stamp_ns = now_ns - STEP_NS,
        .published_ns = now_ns,
        .origin_ns = now_ns - STEP_NS,
        .step_ns = STEP_NS,
        .fresh_for_ns = 3 * STEP_NS,
        .blend_min_ns = 20000000,
        .blend_max_ns = 160000000,
        .waypoint_count = WAYPOINTS,
        .joint_count = joints,
        .blend_share = 0.5,
    };
    for (int k = 0; k < WAYPOINTS; k++) {
        double t_s = (double)(path->origin_ns - EPOCH_NS + k * STEP_NS) * 1e-9;
        for (int j = 0; j < joints; j++) {
            int kind = j % PATTERN;
            double turns_s = TURN * (0.3 + 0.05 * kind);
            double reach = (0.4 + 0.05 * kind) * (1 + 0.005 * ((number * 7 + kind * 3) % 5 - 2));
            double position = reach * sin(turns_s * t_s + kind);
            path->values[k * joints + j] = position;
            path->values[(WAYPOINTS + k) * joints + j] = -turns_s * turns_s * position;
        }
    }
    sp_mailbox_commit(&path_box.box);
}

/* A function for each kind of tick. The comment in the assembly keeps the compiler from merging them, and what stands
 * behind the call from making it a jump: a profiler sees who called. */
#define TICK(name)                                                                                            \
    static __attribute__((noinline)) void name(int64_t tick_ns)                                               \
    {                                                                                                         \
        sp_loop_tick(&loop, tick_ns, 0);                                                                      \
        __asm__ volatile("/* " #name " */" ::: "memory");                                                     \
    }
TICK(warm_tick)
TICK(plain_tick)
TICK(hand_off_tick)
TICK(fault_check_tick)

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

int main(int argc, char **argv)
{
    int joints = argc > 2 ? atoi(argv[1]) : 0, ticks = argc > 2 ? atoi(argv[2]) : 0;
    way how = argc > 3 && !strcmp(argv[3], "count") ? COUNT : argc > 3 && !strcmp(argv[3], "mark") ? MARK : PLAIN;
    if (joints < 1 || joints > BUSES * SP_FEETECH_BUS_SERVOS || ticks < 1) {
        fputs("usage: harness JOINTS TICKS [count | mark]\n", stderr);
        return 2;
    }
    long self = syscall(SYS_gettid), faulted = 0, kinds[3] = {0};
    if (how == COUNT && !count_calls_watch)
        fail("the counting library is not preloaded");
    set_up(joints);
    sp_touch_stack();
    for (int i = 0; i < WARM_TICKS + ticks; i++) {
        int64_t tick_ns = EPOCH_NS + (i + 1) * DT_NS;
        int hands_off = i % CHUNK_TICKS == 0, checks = loop.tick % SLOW_TICKS == 0;
        int kind = checks ? 2 : hands_off ? 1 : 0;
        if (hands_off)
            publish_chunk(joints, tick_ns, i / CHUNK_TICKS);
        manual.now_ns = tick_ns;
        long before = how == COUNT ? faults() : 0;
        if (i < WARM_TICKS) {
            if (how == COUNT) /* so that its pages have been touched */
                count_calls_watch(0);
            warm_tick(tick_ns);
        } else {
            kinds[kind]++;
            if (how == COUNT)
                count_calls_watch(self);
            if (how == MARK)
                syscall(MARK_SYSCALL, 1);
            (kind == 2 ? fault_check_tick : kind == 1 ? hand_off_tick : plain_tick)(tick_ns);
            if (how == MARK)
                syscall(MARK_SYSCALL, 0);
            if (how == COUNT) {
                count_calls_watch(0);
                faulted += faults() - before;
            }
        }
        if (i >= WARM_TICKS && (loop.mode != SP_MODE_RUNNING || loop.record.switched != hands_off))
            fail(loop.mode != SP_MODE_RUNNING ? "it is not running" : "a chunk was not taken when it was due");
        if (sp_ring_take(&records.ring, &record_tail, drained, RECORD_SLOTS) != 1)
            fail("a tick left no record");
    }
    if (stats.holds || stats.starved_ticks || stats.bus.missing_replies || stats.bus.bad_packets || stats.bus.failed_writes)
        fail("it held, starved, or the bus failed");
    printf("{\"ticks\": %d, \"plain\": %ld, \"hand_off\": %ld, \"fault_check\": %ld, \"faults\": %ld, "
           "\"limited\": %llu, \"blend_ms\": %.1f}\n",
           ticks, kinds[0], kinds[1], kinds[2], faulted, (unsigned long long)stats.limited_ticks,
           stats.blend.sum_ns * 1e-6 / (double)stats.blend.total);
    if (how == COUNT)
        count_calls_print();
    return 0;
}
