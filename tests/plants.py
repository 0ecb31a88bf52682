"""The fake servos of ``native/plants.c`` as transports for a loop."""

import ctypes
import enum


class Kind(enum.IntEnum):
    """What a plant does besides answering, in every read."""

    HONEST = 0
    ALLOCATES = 1
    TAKES_THE_GIL = 2
    FAULTS = 3


class Plant:
    """The one plant of the library at ``path``; has the ``address`` that a bus wants."""

    def __init__(self, path, kind):
        self.library = ctypes.CDLL(str(path))
        make = self.library.plant_make
        make.restype = ctypes.c_void_p
        ensure, release = (
            ctypes.cast(function, ctypes.c_void_p)
            for function in (ctypes.pythonapi.PyGILState_Ensure, ctypes.pythonapi.PyGILState_Release)
        )
        self.address = make(ctypes.c_int(kind), ensure, release)
        # PyDLL, unlike CDLL, keeps the interpreter's lock during a call.
        self._keeping = ctypes.PyDLL(str(path)).hold_and_count
        self._keeping.restype = ctypes.c_uint64
        self._keeping.argtypes = (ctypes.c_void_p, ctypes.c_int64)

    def count_while_holding_the_gil(self, counter_address, duration_ns):
        """By how much the counter rose while Python stood still."""
        return self._keeping(counter_address, duration_ns)
