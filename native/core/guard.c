#define _GNU_SOURCE
#include "guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

enum { REST_FRAMES = 5, DRAIN_READS = 64, STACK_BYTES = 256 * 1024 };

#define LINE_PATIENCE_NS 1000000000LL /* a line that takes nothing for so long is lost */
#define KILL_PATIENCE_NS 2000000000LL /* asked to stop, the guard waits so long for a death */

void sp_guard_init(sp_guard *guard, const sp_guard_config *config, sp_clock clock, sp_bus bus)
{
    memset(guard, 0, sizeof *guard);
    guard->config = *config;
    guard->clock = clock;
    guard->bus = bus;
    guard->watched.pidfd = guard->watched.stat_fd = -1;
    guard->next_ns = clock.now_ns(clock.context);
    atomic_store(&guard->awake_ns, guard->next_ns);
}

static int64_t now(const sp_guard *guard)
{
    return guard->clock.now_ns(guard->clock.context);
}

static void enter(sp_guard *guard, sp_guard_state state)
{
    atomic_store_explicit(&guard->state, state, memory_order_release);
}

static void publish(sp_guard *guard)
{
    sp_mailbox_publish(guard->config.takeovers, &guard->takeover, sizeof guard->takeover);
}

/* ---- the process ---- */

/* Whether the kernel says so: every thread of it has ended, and its descriptors write nothing any more. */
static int has_exited(const sp_guard *guard)
{
    struct pollfd process = {.fd = guard->watched.pidfd, .events = POLLIN};
    return poll(&process, 1, 0) == 1 && (process.revents & POLLIN);
}

static int is_stopped(const sp_guard *guard)
{
    char stat[128];
    ssize_t size = guard->watched.stat_fd < 0 ? 0 : pread(guard->watched.stat_fd, stat, sizeof stat, 0);
    return size > 0 && sp_guard_says_stopped(stat, (size_t)size);
}

static void kill_it(sp_guard *guard)
{
    if (syscall(SYS_pidfd_send_signal, guard->watched.pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
        guard->takeover.kill_error = errno;
}

/* ---- the line ---- */

static void flush_line(const sp_guard *guard)
{
    int fd = guard->config.line_fd;
    if (fd < 0 || tcflush(fd, TCIOFLUSH) == 0)
        return;
    uint8_t scratch[256]; /* no terminal: what was sent is through, what came in is dropped */
    for (int i = 0; i < DRAIN_READS; i++) {
        struct pollfd line = {.fd = fd, .events = POLLIN};
        if (poll(&line, 1, 0) != 1 || !(line.revents & POLLIN) || read(fd, scratch, sizeof scratch) <= 0)
            return;
    }
}

/* Writes `joints` and keeps them as the last that went out; 0 when the line did not take them. */
static int write_frame(sp_guard *guard, const sp_limiter *joints)
{
    sp_takeover *takeover = &guard->takeover;
    int64_t at_ns = now(guard);
    if (guard->bus.write(guard->bus.context, joints)) {
        takeover->failed_writes++;
        guard->failing_ns = guard->failing_ns ? guard->failing_ns : at_ns;
        return 0;
    }
    guard->failing_ns = 0;
    for (int i = 0; i < guard->config.joint_count; i++) {
        double step = joints[i].position - guard->written[i].position;
        step = step < 0 ? -step : step;
        if (guard->config.kinds[i] == SP_JOINT_ARM && step > takeover->largest_step)
            takeover->largest_step = step;
        guard->written[i] = joints[i];
    }
    if (takeover->frames == 0)
        takeover->first_frame_ns = at_ns;
    else if (takeover->frames == 1)
        takeover->first_brake_ns = at_ns;
    takeover->frames++;
    return 1;
}

/* ---- what it does in each state ---- */

/* The process is dead: whatever it last said is final. */
static void take_the_line(sp_guard *guard)
{
    const sp_guard_config *config = &guard->config;
    size_t bytes = offsetof(sp_command, joints) + sizeof(sp_limiter) * (size_t)config->joint_count;
    sp_takeover *takeover = &guard->takeover;
    takeover->dead_ns = now(guard);
    uint64_t number = sp_mailbox_read_latest(config->commands, &guard->command, bytes);
    takeover->outcome = number <= guard->watched.command_number
                            ? SP_GUARD_NOTHING_COMMANDED
                            : sp_guard_assess(&guard->command, config->emergency, config->kinds,
                                              config->joint_count, config->dt_ns * 1e-9);
    if (takeover->outcome == SP_GUARD_BRAKED) {
        flush_line(guard);
        memcpy(guard->written, guard->command.joints, sizeof guard->written);
        guard->failing_ns = 0;
        guard->rest_frames = 0;
        guard->next_ns = now(guard) + config->frame_gap_ns;
    }
    publish(guard);
    enter(guard, takeover->outcome == SP_GUARD_BRAKED ? SP_GUARD_BRAKING : SP_GUARD_AT_REST);
}

static void end_it(sp_guard *guard)
{
    if (!has_exited(guard))
        kill_it(guard);
    if (has_exited(guard))
        take_the_line(guard);
}

static void watch(sp_guard *guard, int64_t now_ns)
{
    const sp_guard_patience *patience = &guard->config.patience;
    sp_guard_judgement *judgement = &guard->judgement;
    sp_guard_sight sight = {
        .exited = has_exited(guard),
        .heartbeat_ns = atomic_load_explicit(guard->config.heartbeat_ns, memory_order_acquire),
    };
    sight.stopped = sp_guard_looks(judgement, patience, sight.heartbeat_ns) && is_stopped(guard);
    sp_guard_cause cause = sp_guard_judge(judgement, patience, &sight);
    atomic_store_explicit(&guard->longest_silence_ns, judgement->longest_silence_ns, memory_order_relaxed);
    if (cause == SP_GUARD_ALIVE)
        return;
    guard->takeover = (sp_takeover){
        .cause = cause,
        .detected_ns = now_ns,
        .heartbeat_ns = judgement->begun ? judgement->heartbeat_ns : 0,
        .silent_ns = judgement->silent_ns,
    };
    publish(guard);
    enter(guard, SP_GUARD_ENDING_IT);
    end_it(guard);
}

static void brake(sp_guard *guard, int64_t now_ns)
{
    const sp_guard_config *config = &guard->config;
    sp_takeover *takeover = &guard->takeover;
    sp_limiter joints[SP_MAX_JOINTS];
    memcpy(joints, guard->written, sizeof joints);
    if (takeover->frames > 0)
        sp_guard_brake(joints, config->emergency, config->kinds, config->joint_count, config->dt_ns * 1e-9);
    if (write_frame(guard, joints) && takeover->frames > 1 && sp_guard_at_rest(joints, config->joint_count)) {
        takeover->at_rest_ns = takeover->at_rest_ns ? takeover->at_rest_ns : now_ns;
        guard->rest_frames++;
    }
    sp_guard_state next = SP_GUARD_BRAKING;
    if (guard->rest_frames > REST_FRAMES) {
        next = SP_GUARD_AT_REST;
    } else if (guard->failing_ns && now_ns - guard->failing_ns > LINE_PATIENCE_NS) {
        takeover->outcome = SP_GUARD_LINE_LOST;
        next = SP_GUARD_GAVE_UP;
    }
    publish(guard);
    enter(guard, next);
}

static int takes_over(const sp_guard *guard)
{
    int state = atomic_load_explicit(&guard->state, memory_order_relaxed);
    return state == SP_GUARD_ENDING_IT || state == SP_GUARD_BRAKING;
}

static void carry_out_request(sp_guard *guard)
{
    uint64_t asked = atomic_load_explicit(&guard->asked, memory_order_acquire);
    if (asked == atomic_load_explicit(&guard->done, memory_order_relaxed) || takes_over(guard))
        return;
    guard->watched = guard->request;
    if (guard->watched.pidfd >= 0) {
        guard->judgement = (sp_guard_judgement){.heartbeat_ns = guard->watched.heartbeat_ns};
        atomic_store_explicit(&guard->longest_silence_ns, 0, memory_order_relaxed);
        guard->takeover = (sp_takeover){0};
        publish(guard);
    }
    enter(guard, guard->watched.pidfd >= 0 ? SP_GUARD_WATCHING : SP_GUARD_IDLE);
    atomic_store_explicit(&guard->done, asked, memory_order_release);
}

/* ---- the thread ---- */

/* Phase is kept: whole periods that were slept through are skipped, and nothing bursts. */
static void plan_next_wake(sp_guard *guard)
{
    int braking = atomic_load_explicit(&guard->state, memory_order_relaxed) == SP_GUARD_BRAKING;
    int64_t period_ns = braking ? guard->config.dt_ns : guard->config.patience.poll_ns;
    int64_t passed_ns = now(guard) - guard->next_ns;
    if (passed_ns >= 0)
        guard->next_ns += (passed_ns / period_ns + 1) * period_ns;
}

void sp_guard_wake(sp_guard *guard)
{
    int64_t now_ns = now(guard);
    atomic_store_explicit(&guard->awake_ns, now_ns, memory_order_relaxed);
    switch (atomic_load_explicit(&guard->state, memory_order_relaxed)) {
    case SP_GUARD_WATCHING:
        watch(guard, now_ns);
        break;
    case SP_GUARD_ENDING_IT:
        end_it(guard);
        break;
    case SP_GUARD_BRAKING:
        if (now_ns >= guard->next_ns)
            brake(guard, now_ns);
        break;
    default:
        break;
    }
    carry_out_request(guard); /* last: who leaves a controller that has just died has it braked first */
    plan_next_wake(guard);
}

void sp_guard_ask(sp_guard *guard, const sp_guard_request *request)
{
    guard->request = *request;
    atomic_fetch_add_explicit(&guard->asked, 1, memory_order_release);
}

/* Until the next wake-up is due, or the process that is watched dies. */
static void sleep_on(const sp_guard *guard)
{
    int state = atomic_load_explicit(&guard->state, memory_order_relaxed);
    if (state != SP_GUARD_WATCHING && state != SP_GUARD_ENDING_IT) {
        guard->clock.sleep_until(guard->clock.context, guard->next_ns);
        return;
    }
    int64_t left_ns = guard->next_ns - now(guard);
    if (left_ns <= 0)
        return;
    struct pollfd process = {.fd = guard->watched.pidfd, .events = POLLIN};
    struct timespec left = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
    if (ppoll(&process, 1, &left, NULL) != 0 && !(process.revents & POLLIN)) /* never spin on what cannot be waited for */
        guard->clock.sleep_until(guard->clock.context, guard->next_ns);
}

/* Asked to stop, a take-over is finished first; but see KILL_PATIENCE_NS. */
static int may_end(const sp_guard *guard)
{
    if (!atomic_load_explicit(&guard->stop, memory_order_acquire))
        return 0;
    int state = atomic_load_explicit(&guard->state, memory_order_relaxed);
    return state == SP_GUARD_ENDING_IT ? now(guard) - guard->takeover.detected_ns > KILL_PATIENCE_NS
                                       : state != SP_GUARD_BRAKING;
}

static void *run(void *context)
{
    sp_guard *guard = context;
    sp_realtime_enter(&guard->config.realtime, &guard->realtime);
    guard->next_ns = now(guard);
    atomic_store(&guard->entered, 1);
    while (!may_end(guard)) {
        sleep_on(guard);
        sp_guard_wake(guard);
    }
    return NULL;
}

int sp_guard_start(sp_guard *guard)
{
    atomic_store(&guard->stop, 0);
    atomic_store(&guard->entered, 0);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t all, before; /* the new thread inherits the mask: signals are for the owner's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&guard->thread, &attributes, run, guard);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failure;
}

void sp_guard_stop(sp_guard *guard)
{
    atomic_store_explicit(&guard->stop, 1, memory_order_release);
    pthread_join(guard->thread, NULL);
    atomic_store(&guard->done, atomic_load(&guard->asked));
    if (atomic_load(&guard->state) == SP_GUARD_WATCHING)
        enter(guard, SP_GUARD_IDLE);
}
