# cython: language_level=3
"""Shared memory between the processes of one robot: segments, and the mailboxes and rings in them.

A segment is a memfd of fixed size, sealed against shrinking and growing. Its one writer gets the descriptor
that can write; everybody else gets a second one that was opened read-only, so that no process can write
another's words. See ``runtime/decisions/0002-one-writer-per-mapping.md``.
"""

import fcntl
import mmap as _mmap
import os

from libc.string cimport memset
from posix.unistd cimport close as close_fd

cdef extern from *:
    """
    #include "segment.h"
    static inline int64_t sp_read_heartbeat(sp_segment *s) { return atomic_load(&s->heartbeat_ns); }
    static inline void sp_write_heartbeat(sp_segment *s, int64_t t) { atomic_store(&s->heartbeat_ns, t); }
    static inline uint64_t sp_read_epoch(sp_segment *s) { return atomic_load(&s->epoch); }
    static inline int64_t sp_read_pid(sp_segment *s) { return atomic_load(&s->writer_pid); }
    static inline void sp_enter_writer(sp_segment *s, int64_t pid)
    {
        atomic_store(&s->writer_pid, pid);
        atomic_fetch_add(&s->epoch, 1);
    }
    """
    int64_t sp_read_heartbeat(sp_segment *) noexcept nogil
    void sp_write_heartbeat(sp_segment *, int64_t) noexcept nogil
    uint64_t sp_read_epoch(sp_segment *) noexcept nogil
    int64_t sp_read_pid(sp_segment *) noexcept nogil
    void sp_enter_writer(sp_segment *, int64_t) noexcept nogil

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *, size_t, int, int, int, long) noexcept
    int munmap(void *, size_t) noexcept
    void *MAP_FAILED
    enum: PROT_READ
    enum: PROT_WRITE
    enum: MAP_SHARED
    enum: MAP_POPULATE

LINE = 64
LARGEST_SEGMENT = 256 << 20
LAYOUT_HASH = sp_layout_hash()


cdef class Segment:
    """One mapping. ``fd`` is the descriptor it was made from, closed by ``close``.

    Make it with :meth:`create` (the owner), :meth:`attach_writer` or :meth:`attach_reader`.
    Raises ``ValueError`` when the memory is not a segment of this version, ``OSError`` from the kernel; the
    descriptor then stays the caller's.
    """

    @staticmethod
    def create(str name, parts):
        """A new segment with ``parts`` (sizes in bytes, at most 8), zeroed and touched; still no writer."""
        sizes = [int(size) for size in parts]
        if not 0 < len(sizes) <= SP_SEGMENT_PARTS or min(sizes) <= 0:
            raise ValueError(f"a segment has 1 to {SP_SEGMENT_PARTS} parts of positive size, not {sizes}")
        offset = (sizeof(sp_segment) + LINE - 1) // LINE * LINE
        offsets = []
        for size in sizes:
            offsets.append(offset)
            offset += (size + LINE - 1) // LINE * LINE
        page = _mmap.PAGESIZE
        total = (offset + page - 1) // page * page
        if total > LARGEST_SEGMENT:
            raise ValueError(f"segment {name} would have {total} bytes, more than {LARGEST_SEGMENT}")
        fd = os.memfd_create(f"spinal-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, total)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        cdef Segment segment = Segment.__new__(Segment)
        segment.map(name, fd, total, True)
        memset(segment.memory, 0, total)
        segment.memory.layout_hash = sp_layout_hash()
        segment.memory.version = SP_SEGMENT_VERSION
        segment.memory.part_count = <uint32_t>len(sizes)
        segment.memory.bytes = total
        for i, (size, start) in enumerate(zip(sizes, offsets)):
            segment.memory.part_offset[i] = start
            segment.memory.part_bytes[i] = size
        segment.memory.magic = SP_SEGMENT_MAGIC
        return segment

    @staticmethod
    def attach_writer(str name, int fd):
        """Maps it to write and raises its epoch: the caller is now its one writer."""
        cdef Segment segment = Segment.attach(name, fd, True)
        sp_enter_writer(segment.memory, os.getpid())
        return segment

    @staticmethod
    def attach_reader(str name, int fd):
        """Maps it read-only."""
        return Segment.attach(name, fd, False)

    @staticmethod
    def attach(str name, int fd, bint writable):
        cdef Segment segment = Segment.__new__(Segment)
        total = os.fstat(fd).st_size
        if not sizeof(sp_segment) <= total <= LARGEST_SEGMENT:
            raise ValueError(f"segment {name} has {total} bytes: not a segment")
        segment.map(name, fd, total, writable)
        problem = None
        if segment.memory.magic != SP_SEGMENT_MAGIC or segment.memory.bytes != <uint64_t>total:
            problem = "has no segment head"
        elif segment.memory.version != SP_SEGMENT_VERSION or segment.memory.layout_hash != sp_layout_hash():
            problem = "was laid out by another version of spinal: restart all processes"
        if problem is not None:
            munmap(segment.memory, total)
            segment.memory = NULL  # and the descriptor stays the caller's
            raise ValueError(f"segment {name} {problem}")
        return segment

    def map(self, str name, int fd, size_t total, bint writable):
        cdef int protection = PROT_READ | (PROT_WRITE if writable else 0)
        cdef void *memory = mmap(NULL, total, protection, MAP_SHARED | MAP_POPULATE, fd, 0)
        if memory == MAP_FAILED:
            raise OSError(f"cannot map segment {name}")
        self.memory = <sp_segment *>memory
        self.bytes = total
        self.fd = fd
        self.writable = writable
        self.name = name

    def open_reader_fd(self):
        """A new descriptor of the same memory that cannot write, for a reader's process."""
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)

    cdef void *part(self, int index, size_t bytes) except NULL:
        if self.memory == NULL:
            raise ValueError(f"segment {self.name} is closed")
        if not 0 <= index < <int>self.memory.part_count or self.memory.part_bytes[index] < bytes:
            raise ValueError(f"segment {self.name} has no part {index} of {bytes} bytes")
        return <uint8_t *>self.memory + self.memory.part_offset[index]

    cdef int require_writable(self) except -1:
        if not self.writable:
            raise PermissionError(f"segment {self.name} is mapped read-only here")
        return 0

    def part_address(self, int index):
        """Where part ``index`` lies in this process, for native neighbours."""
        return <size_t>self.part(index, 1)

    def beat(self, int64_t now_ns):
        """The writer is alive at ``now_ns``."""
        self.require_writable()
        sp_write_heartbeat(self.memory, now_ns)

    @property
    def heartbeat_ns(self):
        return sp_read_heartbeat(self.memory) if self.memory != NULL else 0

    @property
    def epoch(self):
        """How many writers it has had; 0: none yet."""
        return sp_read_epoch(self.memory) if self.memory != NULL else 0

    @property
    def writer_pid(self):
        return sp_read_pid(self.memory) if self.memory != NULL else 0

    def close(self):
        """Unmaps it and closes its descriptor. Nothing made from it may be used afterwards."""
        if self.memory != NULL:
            munmap(self.memory, self.bytes)
            self.memory = NULL
            close_fd(self.fd)

    def __dealloc__(self):
        if self.memory != NULL:
            munmap(self.memory, self.bytes)
            close_fd(self.fd)


cdef int require_words(Py_ssize_t bytes) except -1:
    """The core copies whole words: a buffer of another size would be written past its end."""
    if bytes == 0 or bytes % 8:
        raise ValueError(f"a buffer of {bytes} bytes: it must be a multiple of 8")
    return 0


cdef class Mailbox:
    """A newest-value mailbox in part ``part`` of a segment; payloads are buffers (numpy records).

    One writer; readers copy and never block. See ``native/core/mailbox.h``.
    """

    def __init__(self, Segment segment not None, int part):
        self.segment = segment
        self.box = <sp_mailbox *>segment.part(part, sizeof(sp_mailbox))

    @staticmethod
    def size(size_t payload_bytes, uint32_t slots=4):
        """Bytes of a part that holds ``slots`` payloads."""
        return sp_mailbox_size(payload_bytes, slots)

    @staticmethod
    def format(Segment segment not None, int part, size_t payload_bytes, uint32_t slots=4):
        """Lays out a new mailbox there. Once, by the segment's owner, before anybody uses it."""
        segment.require_writable()
        sp_mailbox_init(<sp_mailbox *>segment.part(part, sp_mailbox_size(payload_bytes, slots)), payload_bytes, slots)

    def publish(self, const uint8_t[::1] payload not None):
        """Makes ``payload`` the newest value; returns its number (1, 2, ...)."""
        self.segment.require_writable()
        if payload.shape[0] > self.box.slot_bytes or payload.shape[0] % 8:
            raise ValueError(f"a payload of {payload.shape[0]} bytes: at most {self.box.slot_bytes}, in steps of 8")
        return sp_mailbox_publish(self.box, &payload[0], payload.shape[0])

    @property
    def latest(self):
        """The newest value's number; 0 when there is none."""
        return sp_mailbox_latest(self.box)

    def read_latest(self, uint8_t[::1] into not None):
        """Copies the newest value's first bytes, in steps of 8; returns its number, 0 when there is none."""
        require_words(into.shape[0])
        return sp_mailbox_read_latest(self.box, &into[0], into.shape[0])

    def read(self, uint64_t number, uint8_t[::1] into not None):
        """Copies value ``number``; False when it has been overwritten or does not exist yet."""
        require_words(into.shape[0])
        return bool(sp_mailbox_read(self.box, number, &into[0], into.shape[0]))

    @property
    def slots(self):
        return self.box.slot_count

    @property
    def address(self):
        return <size_t>self.box


cdef class Ring:
    """A single-producer ring: slots and head in the producer's segment, tail in the consumer's."""

    def __init__(self, Segment segment not None, int part, Segment tail_segment not None, int tail_part):
        self.segment = segment
        self.tail_segment = tail_segment
        self.ring = <sp_ring *>segment.part(part, sizeof(sp_ring))
        self.tail = tail_segment.part(tail_part, sizeof(uint64_t))

    @staticmethod
    def size(size_t record_bytes, uint32_t slots):
        return sp_ring_size(record_bytes, slots)

    @staticmethod
    def format(Segment segment not None, int part, size_t record_bytes, uint32_t slots):
        """Lays out a new ring there. Once, by the segment's owner. ``slots`` is a power of two."""
        segment.require_writable()
        if slots == 0 or slots & (slots - 1):
            raise ValueError(f"a ring has a power of two of slots, not {slots}")
        sp_ring_init(<sp_ring *>segment.part(part, sp_ring_size(record_bytes, slots)), record_bytes, slots)

    def push(self, const uint8_t[::1] record not None):
        """Adds a record; False when the ring is full (counted as dropped)."""
        self.segment.require_writable()
        if record.shape[0] > self.ring.slot_bytes:
            raise ValueError(f"a record of {record.shape[0]} bytes: at most {self.ring.slot_bytes}")
        cdef uint8_t *slot = <uint8_t *>sp_ring_begin(self.ring, self.tail)
        if slot == NULL:
            return False
        cdef Py_ssize_t i
        for i in range(record.shape[0]):
            slot[i] = record[i]
        sp_ring_commit(self.ring)
        return True

    def take(self, uint8_t[::1] into not None):
        """Moves as many records as fit into ``into``; returns how many."""
        self.tail_segment.require_writable()
        return sp_ring_take(self.ring, self.tail, &into[0], into.shape[0] // self.ring.slot_bytes)

    @property
    def record_bytes(self):
        return self.ring.slot_bytes

    @property
    def dropped(self):
        return (<uint64_t *>self.ring)[1]

    @property
    def address(self):
        return <size_t>self.ring

    @property
    def tail_address(self):
        return <size_t>self.tail


cdef class RingFollower:
    """Reads a ring beside its consumer, from the newest record on: moves no tail, and the producer never waits.

    ``segment`` may be mapped read-only. Raises ``ValueError`` when there is no ring in part ``part``. One thread.
    """

    def __init__(self, Segment segment not None, int part):
        cdef const sp_ring *ring = <const sp_ring *>segment.part(part, sizeof(sp_ring))
        if ring.slot_bytes == 0 or ring.slot_bytes % 8 or ring.slot_count == 0:
            raise ValueError(f"segment {segment.name} has no ring in part {part}")
        segment.part(part, sp_ring_size(ring.slot_bytes, ring.slot_count))
        self.segment = segment
        self.ring = ring
        self.next = sp_ring_head(ring)
        self.missed = 0

    def follow(self, uint8_t[::1] into not None):
        """Copies the records since the last call, as many as fit into ``into``; returns how many."""
        if into.shape[0] < self.ring.slot_bytes:
            raise ValueError(f"a buffer of {into.shape[0]} bytes: a record has {self.ring.slot_bytes}")
        return sp_ring_follow(self.ring, &self.next, &into[0], into.shape[0] // self.ring.slot_bytes, &self.missed)

    @property
    def lost(self):
        """Records that were overwritten before they were read."""
        return self.missed

    @property
    def dropped(self):
        """Records that the producer left out since it began, because its consumer did not come by."""
        return (<const uint64_t *>self.ring)[1]

    @property
    def record_bytes(self):
        return self.ring.slot_bytes

    @property
    def slots(self):
        return self.ring.slot_count
