/* Counts the system calls of one thread, by number, seen from outside.
 *
 *     trace_calls run COMMAND...      those between the marks that the command sets: a call of 0x5350 with 1, then 0
 *     trace_calls attach TID SLEEPS   those of a running thread, until it slept so often to an absolute instant
 *
 * Prints one JSON object {"ticks": N, "calls": {"NUMBER": COUNT}, "most": M}: `ticks` are marked stretches, or absolute
 * sleeps (which are not among the calls); `most` is the largest number of calls in one. In `run`, the command's own
 * output goes to stderr. Leaves with 3 when the kernel does not let it trace, 4 when nothing came within LIMIT_S. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Of linux/ptrace.h, which does not go together with sys/ptrace.h everywhere. */
#define GET_SYSCALL_INFO 0x420e
enum { INFO_ENTRY = 1 };
typedef struct {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t instruction_pointer, stack_pointer, number, arguments[6];
    uint64_t room[8];
} syscall_info;

enum { MARK_SYSCALL = 0x5350, MOST_CALLS = 1024, LIMIT_S = 20, NOT_PERMITTED = 3, TOO_LATE = 4, ABSOLUTE = 1 };

static pid_t target;
static int attached;
static unsigned long ticks, in_this, most, counts[MOST_CALLS];

static void give_up(const char *what, int code)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    if (!attached && target > 0)
        kill(target, SIGKILL);
    exit(code);
}

static void too_late(int signal)
{
    (void)signal;
    if (!attached && target > 0)
        kill(target, SIGKILL);
    _exit(TOO_LATE);
}

static void add(uint64_t number)
{
    if (number < MOST_CALLS)
        counts[number]++;
    if (++in_this > most)
        most = in_this;
}

static void print(void)
{
    printf("{\"ticks\": %lu, \"most\": %lu, \"calls\": {", ticks, most);
    const char *comma = "";
    for (int i = 0; i < MOST_CALLS; i++)
        if (counts[i]) {
            printf("%s\"%d\": %lu", comma, i, counts[i]);
            comma = ", ";
        }
    printf("}}\n");
}

/* Lets the target go on to its next stop; returns its wait status. */
static int go_on(int signal)
{
    int status;
    if (ptrace(PTRACE_SYSCALL, target, 0, (void *)(intptr_t)signal))
        give_up("the traced thread cannot be continued", NOT_PERMITTED);
    if (waitpid(target, &status, __WALL) != target)
        give_up("the traced thread is lost", NOT_PERMITTED);
    return status;
}

static int at_syscall(int status)
{
    return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
}

/* What to pass on: signals to the thread, but not the stops of tracing itself. */
static int signal_of(int status)
{
    int group_stop = status >> 16;
    return WIFSTOPPED(status) && !group_stop && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
}

static syscall_info info(void)
{
    syscall_info found = {0};
    if (ptrace(GET_SYSCALL_INFO, target, (void *)sizeof found, &found) <= 0)
        give_up("this kernel does not say which call it is", NOT_PERMITTED);
    return found;
}

static int run(char **command)
{
    target = fork();
    if (target < 0)
        give_up("fork", NOT_PERMITTED);
    if (target == 0) {
        dup2(2, 1);
        if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            _exit(NOT_PERMITTED);
        execv(command[0], command);
        _exit(127);
    }
    int status, marked = 0;
    if (waitpid(target, &status, 0) != target || !WIFSTOPPED(status))
        give_up("the kernel does not let a process trace its child", NOT_PERMITTED);
    if (ptrace(PTRACE_SETOPTIONS, target, 0, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)))
        give_up("tracing", NOT_PERMITTED);
    for (int signal = 0;;) {
        status = go_on(signal);
        if (WIFEXITED(status) || WIFSIGNALED(status))
            break;
        signal = at_syscall(status) ? 0 : signal_of(status);
        if (!at_syscall(status))
            continue;
        syscall_info call = info();
        if (call.op != INFO_ENTRY)
            continue;
        if (call.number == MARK_SYSCALL) {
            marked = call.arguments[0] == 1;
            ticks += (unsigned long)marked;
            in_this = 0;
        } else if (marked) {
            add(call.number);
        }
    }
    print();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int attach(pid_t thread, unsigned long sleeps)
{
    int status;
    target = thread;
    attached = 1;
    if (ptrace(PTRACE_SEIZE, target, 0, (void *)PTRACE_O_TRACESYSGOOD))
        give_up("the kernel does not let this thread be traced", NOT_PERMITTED);
    if (ptrace(PTRACE_INTERRUPT, target, 0, 0) || waitpid(target, &status, __WALL) != target)
        give_up("the thread does not stop", NOT_PERMITTED);
    int seen = 0;
    for (int signal = 0; ticks < sleeps;) {
        status = go_on(signal);
        if (WIFEXITED(status) || WIFSIGNALED(status))
            break;
        signal = at_syscall(status) ? 0 : signal_of(status);
        if (!at_syscall(status))
            continue;
        syscall_info call = info();
        if (call.op != INFO_ENTRY)
            continue;
        /* The first sleep may be the one that the interruption made it begin again: it counts from the second. */
        if (call.number == SYS_clock_nanosleep && call.arguments[1] & ABSOLUTE) {
            ticks += seen >= 2;
            seen++;
            in_this = 0;
        } else if (seen >= 2) {
            add(call.number);
        }
    }
    ptrace(PTRACE_DETACH, target, 0, 0);
    print();
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGALRM, too_late);
    alarm(LIMIT_S);
    if (argc >= 3 && !strcmp(argv[1], "run"))
        return run(argv + 2);
    if (argc == 4 && !strcmp(argv[1], "attach"))
        return attach((pid_t)atol(argv[2]), strtoul(argv[3], NULL, 10));
    fputs("usage: trace_calls run COMMAND... | trace_calls attach TID SLEEPS\n", stderr);
    return 2;
}
