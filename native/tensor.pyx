# cython: language_level=3, boundscheck=False, wraparound=False
"""Numbers into a model's float32 inputs, and its answer out as float64.

Why native: at 50 Hz the network has thrown everything else out of the caches, and numpy's general machinery for
casting costs 3 to 5 us a call then. These few lines cost a tenth of it, and look at each number once.
"""

from libc.math cimport isfinite

import numpy as np


cdef class TensorInput:
    """One input of a model: ``buffer`` is float32, C-contiguous, [1, ...]; it is kept alive and written in place.

    Thread contract: one thread, and not while the model runs.
    """

    cdef float[::1] into
    cdef Py_ssize_t rows, row

    def __init__(self, buffer not None):
        self.into = buffer.reshape(-1)
        self.rows = buffer.shape[1] if buffer.ndim > 1 else 1
        self.row = self.into.shape[0] // self.rows

    def put(self, const double[:] values not None):
        """As many values as the input has. Raises ValueError for another number of them."""
        cdef Py_ssize_t i
        if values.shape[0] != self.into.shape[0]:
            raise ValueError(f"{values.shape[0]} values for an input of {self.into.shape[0]}")
        for i in range(values.shape[0]):
            self.into[i] = <float>values[i]

    def put_column(self, const double[:, :] values not None, Py_ssize_t column):
        """One column of ``values`` [number, columns]."""
        cdef Py_ssize_t i
        if values.shape[0] != self.into.shape[0] or not 0 <= column < values.shape[1]:
            raise ValueError(f"column {column} of {values.shape[0]} rows for an input of {self.into.shape[0]}")
        for i in range(values.shape[0]):
            self.into[i] = <float>values[i, column]

    def fill(self, double value):
        """The same value everywhere."""
        cdef Py_ssize_t i
        for i in range(self.into.shape[0]):
            self.into[i] = <float>value

    def put_prefix(self, const double[:, :] ahead not None, const double[:, :] command not None):
        """An input [1, steps, joints]: the rows of ``ahead`` [given, joints], then the last of them to the end.

        Without any, column 0 of ``command`` [joints, ...]: the commanded position.
        """
        cdef Py_ssize_t step, joint, given = ahead.shape[0], joints = command.shape[0]
        if joints != self.row or given > self.rows or (given and ahead.shape[1] != joints):
            raise ValueError(f"{given} steps of {joints} joints for an input of {self.rows} steps of {self.row}")
        for step in range(self.rows):
            for joint in range(joints):
                if step < given:
                    self.into[step * joints + joint] = <float>ahead[step, joint]
                elif given:
                    self.into[step * joints + joint] = <float>ahead[given - 1, joint]
                else:
                    self.into[step * joints + joint] = <float>command[joint, 0]

    def put_mask(self, Py_ssize_t given):
        """An input [1, steps]: 1 for the first ``given``, 0 behind them."""
        cdef Py_ssize_t i
        for i in range(self.into.shape[0]):
            self.into[i] = 1.0 if i < given else 0.0


def to_actions(const float[:, :, ::1] answer not None, const double[:, :] ahead not None):
    """The answer [1, steps, joints] as float64 [steps, joints], its first rows replaced by those of ``ahead``.

    None when a number of the result is not finite. Raises ValueError for an ``ahead`` that does not fit.
    """
    cdef Py_ssize_t steps = answer.shape[1], joints = answer.shape[2], given = ahead.shape[0], step, joint
    cdef bint finite = True
    if given > steps or (given and ahead.shape[1] != joints):
        raise ValueError(f"{given} steps of {ahead.shape[1]} joints for an answer of {steps} of {joints}")
    actions = np.empty((steps, joints))
    cdef double[:, ::1] into = actions
    for step in range(steps):
        for joint in range(joints):
            into[step, joint] = ahead[step, joint] if step < given else answer[0, step, joint]
            finite = finite and isfinite(into[step, joint])
    return actions if finite else None
