"""What the suite ``exact`` counts with: a native harness, and libraries that count calls; see the suite's module.

    native/harness.c      the tick on a manual clock with servos in memory, alone in a process
    native/count_calls.c  preloaded: allocations, locks, the interpreter's lock, sleeps of one thread
    native/trace_calls.c  system calls of one thread, seen from outside
    native/plant.h        slow-downs put in on purpose

They are compiled when they are needed, with the system's compiler and the flags of the extension modules.
"""
