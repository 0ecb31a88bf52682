# cython: language_level=3
"""Real time, asked for on a thread of its own: what this process would be granted, without keeping any of it."""

import os

from spinal.native.loop cimport sp_realtime_report, sp_realtime_request

cdef extern from *:
    """
    #include "realtime.h"
    #include <pthread.h>
    #include <sys/prctl.h>
    #include <signal.h>

    typedef struct sp_probe { sp_realtime_request request; sp_realtime_report report; } sp_probe;

    static void *sp_probe_main(void *argument)
    {
        sp_probe *probe = argument;
        sp_realtime_enter(&probe->request, &probe->report);
        return NULL;
    }

    static int sp_probe_run(sp_probe *probe)
    {
        pthread_t thread;
        int failure = pthread_create(&thread, NULL, sp_probe_main, probe);
        if (!failure)
            pthread_join(thread, NULL);
        return failure;
    }

    static int sp_die_with_parent(int signal_number) { return prctl(PR_SET_PDEATHSIG, signal_number); }
    """
    ctypedef struct sp_probe:
        sp_realtime_request request
        sp_realtime_report report
    int sp_probe_run(sp_probe *) nogil
    int sp_die_with_parent(int) nogil


def probe(int fifo_priority):
    """Asks for SCHED_FIFO at ``fifo_priority`` (0: not) on a short-lived thread.

    Returns name -> None (granted), "not asked", or the reason in words, as ``Loop.realtime``.
    """
    cdef sp_probe attempt
    attempt.request = sp_realtime_request(fifo_priority, 0, -1)
    cdef int failure
    with nogil:
        failure = sp_probe_run(&attempt)
    if failure:
        raise OSError(failure, "a thread could not be made")
    words = {0: None, -1: "not asked"}
    return {
        name: words[code] if code in words else os.strerror(code)
        for name, code in (("fifo", attempt.report.fifo), ("timer_slack", attempt.report.timer_slack))
    }


def die_with_parent(int signal_number):
    """The kernel sends ``signal_number`` to this process when its parent dies."""
    sp_die_with_parent(signal_number)
