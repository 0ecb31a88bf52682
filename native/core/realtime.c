#define _GNU_SOURCE
#include "realtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { TOUCHED_STACK_BYTES = 128 * 1024 };

void sp_touch_stack(void)
{
    volatile char stack[TOUCHED_STACK_BYTES];
    for (int i = 0; i < TOUCHED_STACK_BYTES; i += 1024)
        stack[i] = 0;
    (void)stack[0];
}

typedef struct {
    char folder[512]; /* of our own modules, with the last slash */
    int failure;
} lock_request;

static int is_executed(const lock_request *request, const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    size_t own = strlen(request->folder);
    return (own && !strncmp(path, request->folder, own)) || !strncmp(name, "libc.so", 7) || !strncmp(name, "libm.so", 7);
}

static int lock_object(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    lock_request *request = context;
    if (!object->dlpi_name || !is_executed(request, object->dlpi_name))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && mlock((const void *)(object->dlpi_addr + part->p_vaddr), part->p_memsz))
            request->failure = errno;
    }
    return 0;
}

/* Memory that is in use stays resident, and so does what comes into use; what the interpreter only reserved is left
 * alone: a process with everything locked takes 30 ms to die in place of 5, and nobody may brake before it is dead.
 * But all code that a tick may execute is made resident now, also what has never run: a path that is only taken when
 * something breaks must not wait for a disk. Returns 0 or an errno. */
static int lock_memory(void)
{
    lock_request request = {.failure = 0};
    Dl_info own;
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
        return errno;
    if (dladdr((const void *)lock_memory, &own) && own.dli_fname && strlen(own.dli_fname) < sizeof request.folder) {
        strcpy(request.folder, own.dli_fname);
        char *slash = strrchr(request.folder, '/');
        request.folder[slash ? slash + 1 - request.folder : 0] = 0;
    }
    dl_iterate_phdr(lock_object, &request);
    return request.failure;
}

void sp_realtime_enter(const sp_realtime_request *request, sp_realtime_report *report)
{
    *report = (sp_realtime_report){-1, -1, -1, -1};

    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);

    report->timer_slack = prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) ? errno : 0;
    if (request->lock_memory)
        report->memory_lock = lock_memory();
    if (request->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)request->cpu, &set);
        report->affinity = sched_setaffinity(0, sizeof set, &set) ? errno : 0;
    }
    if (request->fifo_priority > 0) {
        struct sched_param wanted = {.sched_priority = request->fifo_priority};
        /* Threads made by this one must not inherit its priority. */
        report->fifo = pthread_setschedparam(pthread_self(), SCHED_FIFO | SCHED_RESET_ON_FORK, &wanted);
    }
    sp_touch_stack();
}
