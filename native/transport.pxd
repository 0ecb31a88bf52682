from libc.stdint cimport int64_t, uint8_t

cdef extern from "transport.h" nogil:
    ctypedef struct sp_transport:
        void *context
        int (*write)(void *, const uint8_t *, size_t) noexcept
        int (*read)(void *, uint8_t *, size_t, int64_t) noexcept
        int (*discard_input)(void *) noexcept
