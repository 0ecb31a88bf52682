/* Preloaded: counts what one thread asks of allocators, locks and sleeps, and who asked first.
 *
 * A call counts when the thread that is watched makes it; all others pass through. Taking the interpreter's lock shows
 * as calls of pthread locks with a function of the interpreter among the callers: that is seen whether libpython is
 * shared or inside the executable, where no preloaded function could stand in for its own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { FRAMES = 24, NAMES = 48, OWN_FRAMES = 2 };
enum { ALLOCATION, LOCK, GIL, SLEEP, CATEGORIES };
static const char *const TITLES[] = {"allocation", "lock", "gil", "sleep"};

typedef struct {
    uint64_t count;
    const char *what; /* the first */
    void *frames[FRAMES];
    int depth;
} category;

static category found[CATEGORIES];
static struct {
    const char *name;
    int category;
    uint64_t count;
} names[NAMES];
static int name_count;

static _Atomic long watched;
static __thread long self __attribute__((tls_model("initial-exec")));
static __thread int inside __attribute__((tls_model("initial-exec")));

/* The first backtrace loads a library, which allocates: not while somebody is watched. */
__attribute__((constructor)) static void warm_up(void)
{
    void *frames[2];
    inside = 1;
    backtrace(frames, 2);
    inside = 0;
}

static int from_interpreter(void *const *frames, int depth)
{
    static const char *const takers[] = {"PyGILState_Ensure",  "PyGILState_Release",     "PyEval_RestoreThread",
                                         "PyEval_SaveThread",  "PyEval_AcquireThread",   "PyEval_ReleaseThread",
                                         "PyEval_AcquireLock", "_PyThreadState_Attach",  "PyThreadState_New",
                                         "PyThreadState_DeleteCurrent", "_PyThreadState_DeleteCurrent"};
    Dl_info place;
    for (int i = 0; i < depth; i++)
        if (dladdr(frames[i], &place) && place.dli_sname)
            for (size_t k = 0; k < sizeof takers / sizeof takers[0]; k++)
                if (!strcmp(place.dli_sname, takers[k]))
                    return 1;
    return 0;
}

static void tally(int of, const char *what)
{
    for (int i = 0; i < name_count; i++)
        if (names[i].name == what && names[i].category == of) {
            names[i].count++;
            return;
        }
    if (name_count < NAMES) {
        names[name_count].name = what;
        names[name_count].category = of;
        names[name_count++].count = 1;
    }
}

static __attribute__((noinline)) void record(int of, const char *what)
{
    void *frames[FRAMES];
    inside = 1;
    int depth = backtrace(frames, FRAMES);
    if (of == LOCK && from_interpreter(frames, depth))
        of = GIL;
    category *one = &found[of];
    if (one->count++ == 0) {
        one->what = what;
        one->depth = depth;
        memcpy(one->frames, frames, sizeof frames);
    }
    tally(of, what);
    inside = 0;
}

static inline __attribute__((always_inline)) void count(int of, const char *what)
{
    if (watched == 0 || inside)
        return;
    if (self == 0)
        self = syscall(SYS_gettid);
    if (self == watched)
        record(of, what);
}

/* From now on this thread's calls count; 0: nobody's. */
void count_calls_watch(long thread_id)
{
    watched = thread_id;
}

/* What was counted, as lines: "CATEGORY count", "call CATEGORY name count", "first CATEGORY what", and the callers of
 * that first one, inner first: "frame CATEGORY object offset symbol". Returns the length without the final 0. */
int count_calls_report(char *text, int size)
{
    int used = 0;
#define SAY(...)                                                                                              \
    do {                                                                                                      \
        if (used < size)                                                                                      \
            used += snprintf(text + used, (size_t)(size - used), __VA_ARGS__);                                \
    } while (0)
    for (int i = 0; i < CATEGORIES; i++) {
        SAY("count %s %llu\n", TITLES[i], (unsigned long long)found[i].count);
        if (found[i].count == 0)
            continue;
        SAY("first %s %s\n", TITLES[i], found[i].what);
        for (int k = OWN_FRAMES; k < found[i].depth; k++) {
            Dl_info place = {0};
            if (dladdr(found[i].frames[k], &place) && place.dli_fname)
                SAY("frame %s %lx %s %s\n", TITLES[i],
                    (unsigned long)((char *)found[i].frames[k] - (char *)place.dli_fbase - 1),
                    place.dli_sname ? place.dli_sname : "?", place.dli_fname);
        }
    }
    for (int i = 0; i < name_count; i++)
        SAY("call %s %s %llu\n", TITLES[names[i].category], names[i].name, (unsigned long long)names[i].count);
    return used < size ? used : size - 1;
}

void count_calls_print(void)
{
    static char text[16384];
    count_calls_report(text, sizeof text);
    fputs(text, stdout);
}

void *malloc(size_t size)
{
    count(ALLOCATION, "malloc");
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count(ALLOCATION, "calloc");
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    count(ALLOCATION, "realloc");
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    count(ALLOCATION, "memalign");
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(ALLOCATION, "aligned_alloc");
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    count(ALLOCATION, "posix_memalign");
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : 12;
}

void free(void *memory)
{
    count(ALLOCATION, "free");
    __libc_free(memory);
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    count(ALLOCATION, "mmap");
    return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, offset);
}

void *mmap64(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    count(ALLOCATION, "mmap");
    return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, offset);
}

int munmap(void *memory, size_t size)
{
    count(ALLOCATION, "munmap");
    return (int)syscall(SYS_munmap, memory, size);
}

/* Where a function has an old version too, plain dlsym may find that one. */
static void *real(const char *name)
{
    void *newer = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return newer ? newer : dlsym(RTLD_NEXT, name);
}

#define PASS(of, type, name, parameters, arguments)                                                           \
    type name parameters                                                                                      \
    {                                                                                                         \
        static type (*_Atomic next) parameters;                                                               \
        if (!next)                                                                                            \
            next = (type(*) parameters)real(#name);                                                           \
        count(of, #name);                                                                                     \
        return next arguments;                                                                                \
    }

PASS(ALLOCATION, int, brk, (void *end), (end))
PASS(ALLOCATION, void *, sbrk, (intptr_t by), (by))
PASS(LOCK, int, pthread_mutex_lock, (pthread_mutex_t *m), (m))
PASS(LOCK, int, pthread_mutex_trylock, (pthread_mutex_t *m), (m))
PASS(LOCK, int, pthread_mutex_timedlock, (pthread_mutex_t *m, const struct timespec *t), (m, t))
PASS(LOCK, int, pthread_cond_wait, (pthread_cond_t *c, pthread_mutex_t *m), (c, m))
PASS(LOCK, int, pthread_cond_timedwait, (pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t), (c, m, t))
PASS(LOCK, int, pthread_cond_signal, (pthread_cond_t *c), (c))
PASS(LOCK, int, pthread_cond_broadcast, (pthread_cond_t *c), (c))
PASS(LOCK, int, pthread_rwlock_rdlock, (pthread_rwlock_t *l), (l))
PASS(LOCK, int, pthread_rwlock_wrlock, (pthread_rwlock_t *l), (l))
PASS(LOCK, int, pthread_spin_lock, (pthread_spinlock_t *l), (l))
PASS(LOCK, int, sem_wait, (sem_t *s), (s))
PASS(LOCK, int, sem_timedwait, (sem_t *s, const struct timespec *t), (s, t))
PASS(LOCK, int, sem_post, (sem_t *s), (s))
PASS(SLEEP, int, nanosleep, (const struct timespec *t, struct timespec *rest), (t, rest))
PASS(SLEEP, int, usleep, (unsigned int us), (us))
PASS(SLEEP, unsigned int, sleep, (unsigned int s), (s))
PASS(SLEEP, int, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms))
PASS(SLEEP, int, select, (int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t), (n, r, w, e, t))

/* Sleeping to an absolute instant is how the loop waits for its slot; any other sleep is one inside the tick. */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *t, struct timespec *rest)
{
    static int (*_Atomic next)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!next)
        next = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))real("clock_nanosleep");
    if (!(flags & TIMER_ABSTIME))
        count(SLEEP, "clock_nanosleep");
    return next(clock, flags, t, rest);
}
