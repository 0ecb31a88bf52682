"""The exception tree: exit codes, and errors that cross a process border whole."""

import pickle

from spinal.runtime.errors import (
    BenchError,
    BusError,
    ConfigError,
    LinkError,
    PolicyError,
    Problem,
    ProcessError,
    RealtimeError,
    SpinalError,
)


def test_exit_codes_and_texts_of_errors():
    codes = {
        SpinalError: 1,
        BenchError: 2,
        PolicyError: 3,
        BusError: 4,
        LinkError: 5,
        ProcessError: 6,
        RealtimeError: 7,
    }
    for kind, code in codes.items():
        error = pickle.loads(pickle.dumps(kind("it broke", "mend it")))
        assert (error.exit_code, error.message, error.hint, str(error)) == (
            code,
            "it broke",
            "mend it",
            "it broke",
        )
    error = ConfigError([Problem("a.b", "is wrong", "mend it")], "x.toml", "run it again")
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
    assert (error.exit_code, str(error)) == (2, "x.toml: 1 problem\n  a.b is wrong\n      mend it")
