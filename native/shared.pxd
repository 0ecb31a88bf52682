from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t


cdef extern from "mailbox.h" nogil:
    ctypedef struct sp_mailbox:
        uint32_t slot_bytes
        uint32_t slot_count
    size_t sp_mailbox_size(size_t, uint32_t) noexcept
    void sp_mailbox_init(sp_mailbox *, size_t, uint32_t) noexcept
    uint64_t sp_mailbox_publish(sp_mailbox *, const void *, size_t) noexcept
    void *sp_mailbox_begin(sp_mailbox *) noexcept
    uint64_t sp_mailbox_commit(sp_mailbox *) noexcept
    uint64_t sp_mailbox_latest(const sp_mailbox *) noexcept
    int sp_mailbox_read(const sp_mailbox *, uint64_t, void *, size_t) noexcept
    uint64_t sp_mailbox_read_latest(const sp_mailbox *, void *, size_t) noexcept

cdef extern from "ring.h" nogil:
    ctypedef struct sp_ring:
        uint32_t slot_bytes
        uint32_t slot_count
    size_t sp_ring_size(size_t, uint32_t) noexcept
    void sp_ring_init(sp_ring *, size_t, uint32_t) noexcept
    void *sp_ring_begin(sp_ring *, const void *) noexcept
    void sp_ring_commit(sp_ring *) noexcept
    size_t sp_ring_take(const sp_ring *, void *, void *, size_t) noexcept
    size_t sp_ring_follow(const sp_ring *, uint64_t *, void *, size_t, uint64_t *) noexcept
    uint64_t sp_ring_head(const sp_ring *) noexcept

cdef extern from "segment.h" nogil:
    enum: SP_SEGMENT_MAGIC
    enum: SP_SEGMENT_VERSION
    enum: SP_SEGMENT_PARTS
    ctypedef struct sp_segment:
        uint64_t magic
        uint64_t layout_hash
        uint32_t version
        uint32_t part_count
        uint64_t bytes
        uint64_t part_offset[8]
        uint64_t part_bytes[8]
    uint64_t sp_layout_hash() noexcept


cdef class Segment:
    cdef sp_segment *memory
    cdef size_t bytes
    cdef readonly int fd
    cdef readonly bint writable
    cdef readonly str name
    cdef void *part(self, int index, size_t bytes) except NULL
    cdef int require_writable(self) except -1


cdef class Mailbox:
    cdef Segment segment
    cdef sp_mailbox *box


cdef class Ring:
    cdef Segment segment
    cdef Segment tail_segment
    cdef sp_ring *ring
    cdef void *tail


cdef class RingFollower:
    cdef Segment segment
    cdef const sp_ring *ring
    cdef uint64_t next
    cdef uint64_t missed
