"""Segments with one writer, mailboxes that are never torn, rings that keep their order."""

import contextlib
import ctypes
import errno
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import until

from spinal.native.clock import now_ns
from spinal.native.shared import LAYOUT_HASH, Mailbox, Ring, RingFollower, Segment

LAYOUT_HASH_OFFSET, VERSION_OFFSET = 8, 16


@contextlib.contextmanager
def segment_of(*parts, name="test"):
    segment = Segment.create(name, parts)
    yield segment
    segment.close()


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def raw(*words):
    return np.array(words, np.uint64).view(np.uint8)


@pytest.mark.parametrize("change", [-1, 1, 1 << 20])
def test_the_size_is_sealed(change):
    with segment_of(4096) as segment:
        size = os.fstat(segment.fd).st_size
        with pytest.raises(PermissionError):
            os.ftruncate(segment.fd, size + change)
        assert os.fstat(segment.fd).st_size == size


def test_a_readers_descriptor_cannot_write():
    with segment_of(4096) as segment:
        reader_fd = segment.open_reader_fd()
        size = os.fstat(reader_fd).st_size
        with pytest.raises(PermissionError):
            mmap.mmap(reader_fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        with pytest.raises(OSError, match="Bad file descriptor") as failure:
            os.write(reader_fd, b"x")
        assert failure.value.errno == errno.EBADF
        with pytest.raises(OSError, match="Invalid argument"):
            os.ftruncate(reader_fd, size)
        with pytest.raises(OSError, match="cannot map"):
            Segment.attach_writer("test", reader_fd)
        os.close(reader_fd)


def test_a_readers_mapping_refuses_every_write_here():
    with segment_of(Mailbox.size(64), Ring.size(8, 4), 64) as segment:
        Mailbox.format(segment, 0, 64)
        Ring.format(segment, 1, 8, 4)
        reader = Segment.attach_reader("test", segment.open_reader_fd())
        mailbox, ring = Mailbox(reader, 0), Ring(reader, 1, reader, 2)
        for write in (
            lambda: reader.beat(1),
            lambda: mailbox.publish(raw(1)),
            lambda: Mailbox.format(reader, 0, 64),
            lambda: ring.push(raw(1)),
            lambda: ring.take(raw(0)),
            lambda: Ring.format(reader, 1, 8, 4),
        ):
            with pytest.raises(PermissionError, match="mapped read-only"):
                write()
        reader.close()


def test_what_the_writer_wrote_the_reader_sees():
    with segment_of(Mailbox.size(64)) as segment:
        Mailbox.format(segment, 0, 64)
        reader = Segment.attach_reader("test", segment.open_reader_fd())
        seen, box = np.zeros(3, np.uint64), Mailbox(reader, 0)
        assert box.read_latest(seen.view(np.uint8)) == 0
        assert Mailbox(segment, 0).publish(raw(1, 2, 3)) == 1
        assert box.read_latest(seen.view(np.uint8)) == 1
        assert seen.tolist() == [1, 2, 3]
        segment.beat(123)
        assert reader.heartbeat_ns == 123
        reader.close()


def test_every_writer_raises_the_epoch_and_the_numbers_go_on():
    with segment_of(Mailbox.size(8)) as segment:
        Mailbox.format(segment, 0, 8)
        assert (segment.epoch, segment.writer_pid) == (0, 0)
        for life in (1, 2, 3):
            writer = Segment.attach_writer("test", os.dup(segment.fd))
            assert Mailbox(writer, 0).publish(raw(life)) == life
            assert (segment.epoch, segment.writer_pid) == (life, os.getpid())
            writer.close()
        reader = Segment.attach_reader("test", segment.open_reader_fd())
        assert reader.epoch == 3
        reader.close()


def overwritten(segment, offset, value):
    """The segment's memory with one 64-bit word of its head changed."""
    with mmap.mmap(segment.fd, os.fstat(segment.fd).st_size) as memory:
        memory[offset : offset + 8] = value.to_bytes(8, "little")


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (LAYOUT_HASH_OFFSET, LAYOUT_HASH ^ 1, "laid out by another version of spinal: restart all processes"),
        (VERSION_OFFSET, 99, "laid out by another version"),
        (0, 1, "no segment head"),
        (24, 12345, "no segment head"),
    ],
    ids=["layout", "version", "magic", "size"],
)
def test_memory_of_another_layout_is_refused_and_its_descriptor_left_alone(offset, value, message):
    with segment_of(4096, name="odd") as segment:
        overwritten(segment, offset, value)
        before = open_descriptors()
        reader_fd = segment.open_reader_fd()
        with pytest.raises(ValueError, match=message):
            Segment.attach_reader("odd", reader_fd)
        os.close(reader_fd)  # still the caller's
        assert open_descriptors() == before


def test_what_is_no_segment_is_refused(tmp_path):
    (tmp_path / "short").write_bytes(b"too short")
    (tmp_path / "zeros").write_bytes(bytes(8192))
    for name, message in (("short", "not a segment"), ("zeros", "no segment head")):
        fd = os.open(tmp_path / name, os.O_RDONLY)
        with pytest.raises(ValueError, match=message):
            Segment.attach_reader(name, fd)
        os.close(fd)


@pytest.mark.parametrize("parts", [[], [0], [64, -1], [8] * 9, [1 << 30]])
def test_parts_that_make_no_segment_are_refused(parts):
    before = open_descriptors()
    with pytest.raises(ValueError, match=r"parts|bytes"):
        Segment.create("wrong", parts)
    assert open_descriptors() == before


def test_parts_are_apart_aligned_and_bounded():
    with segment_of(1, 65, 64) as segment:
        addresses = [segment.part_address(k) for k in range(3)]
        assert all(address % 64 == 0 for address in addresses)
        assert addresses[1] - addresses[0] == 64
        assert addresses[2] - addresses[1] == 128
        for index in (-1, 3):
            with pytest.raises(ValueError, match="has no part"):
                segment.part_address(index)
        with pytest.raises(ValueError, match="has no part 0 of"):
            Mailbox(segment, 0)


def test_closing_gives_back_every_descriptor_and_mapping():
    before = open_descriptors()

    def mappings():
        return Path("/proc/self/maps").read_text().count("memfd:spinal-closing")

    for _ in range(20):
        segment = Segment.create("closing", [4096])
        reader = Segment.attach_reader("closing", segment.open_reader_fd())
        assert mappings() == 2
        reader.close()
        reader.close()
        segment.close()
        with pytest.raises(ValueError, match="is closed"):
            segment.part_address(0)
        assert (segment.heartbeat_ns, segment.epoch, segment.writer_pid) == (0, 0, 0)
        Segment.create("closing", [64])  # nobody keeps it
    assert open_descriptors() == before
    assert mappings() == 0


@pytest.mark.parametrize("size", [0, 4, 12])
def test_a_buffer_that_is_not_whole_words_is_refused(size):
    with segment_of(Mailbox.size(64)) as segment:
        Mailbox.format(segment, 0, 64)
        mailbox = Mailbox(segment, 0)
        mailbox.publish(raw(1, 2, 3))
        into = np.zeros(size, np.uint8)
        with pytest.raises(ValueError, match="multiple of 8"):
            mailbox.read_latest(into)
        with pytest.raises(ValueError, match="multiple of 8"):
            mailbox.read(1, into)
        with pytest.raises((ValueError, IndexError)):
            mailbox.publish(into[: max(size, 1)] if size else np.zeros(72, np.uint8))


def test_a_mailbox_keeps_a_short_history():
    with segment_of(Mailbox.size(8, 4)) as segment:
        Mailbox.format(segment, 0, 8, 4)
        mailbox, seen = Mailbox(segment, 0), np.zeros(1, np.uint64)
        for value in range(1, 11):
            assert mailbox.publish(raw(value * value)) == value
            assert mailbox.latest == value
            kept = [n for n in range(12) if mailbox.read(n, seen.view(np.uint8)) and seen[0] == n * n]
            assert kept == list(range(max(1, value - 3), value + 1))


def test_a_shorter_buffer_gets_the_head_and_a_longer_one_nothing():
    with segment_of(Mailbox.size(16)) as segment:
        Mailbox.format(segment, 0, 16)
        mailbox = Mailbox(segment, 0)
        mailbox.publish(raw(7, 8))
        head, long = np.zeros(1, np.uint64), np.zeros(3, np.uint64)
        assert mailbox.read_latest(head.view(np.uint8)) == 1
        assert head[0] == 7
        assert mailbox.read_latest(long.view(np.uint8)) == 0
        assert not long.any()


@pytest.mark.parametrize(("words", "slots"), [(4, 4), (512, 4), (512, 2)])
def test_no_value_is_torn_while_another_process_writes(words, slots):
    """A slot is overwritten thousands of times a second below the reader; a torn copy must never be handed out."""
    with segment_of(Mailbox.size(8 * words, slots), name="load") as segment:
        Mailbox.format(segment, 0, 8 * words, slots)
        reader = Segment.attach_reader("load", segment.open_reader_fd())
        mailbox = Mailbox(reader, 0)
        value = np.zeros(words, np.uint64)
        into = value.view(np.uint8)
        script = Path(__file__).with_name("mailbox_writer.py")
        with subprocess.Popen(
            [sys.executable, str(script), str(segment.fd), str(words)],
            pass_fds=[segment.fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as writer:
            try:
                assert writer.stdout.readline() == b"ready\n"
                until(lambda: mailbox.latest > 1000, "the other process publishes")
                last, distinct, overtaken, deadline_ns = 0, 0, 0, now_ns() + 60_000_000_000
                while distinct < 200 or overtaken == 0:
                    number = mailbox.read_latest(into)
                    if number:
                        assert number >= last
                        assert int(value[0]) == number
                        assert (value == value[0]).all()
                        distinct += number > last
                        last = number
                    else:
                        overtaken += 1
                    # The oldest slot that may still be there is the next to be written.
                    oldest = mailbox.latest - slots + 1
                    if mailbox.read(oldest, into):
                        assert int(value[0]) == oldest
                        assert (value == value[0]).all()
                    else:
                        overtaken += 1
                    assert now_ns() < deadline_ns, f"{distinct} values, {overtaken} overtaken: never at once"
                assert reader.epoch == 1
                assert reader.writer_pid == writer.pid
            finally:
                writer.stdin.close()
        reader.close()
        assert writer.returncode == 0


@contextlib.contextmanager
def ring_of(slots, record_bytes=8):
    with segment_of(Ring.size(record_bytes, slots)) as producer, segment_of(64) as consumer:
        Ring.format(producer, 0, record_bytes, slots)
        yield Ring(producer, 0, consumer, 0)


@contextlib.contextmanager
def followed_ring_of(slots):
    """A ring and somebody who follows it through a mapping that cannot write."""
    with segment_of(Ring.size(8, slots)) as producer, segment_of(64) as consumer:
        Ring.format(producer, 0, 8, slots)
        reader = Segment.attach_reader("test", producer.open_reader_fd())
        yield Ring(producer, 0, consumer, 0), RingFollower(reader, 0)
        reader.close()


def taken(ring, most):
    into = np.zeros(most, np.uint64)
    return into[: ring.take(into.view(np.uint8))].tolist()


def test_a_full_ring_drops_the_newest_and_counts_it():
    with ring_of(4) as ring:
        assert [ring.push(raw(k)) for k in range(7)] == [True] * 4 + [False] * 3
        assert ring.dropped == 3
        assert taken(ring, 2) == [0, 1]
        assert [ring.push(raw(k)) for k in (10, 11, 12)] == [True, True, False]
        assert ring.dropped == 4
        assert taken(ring, 9) == [2, 3, 10, 11]
        assert taken(ring, 9) == []


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_ring_is_a_queue_that_refuses_when_full(steps):
    queue, number, dropped = [], 0, 0
    with ring_of(8) as ring:
        for push, count in steps:
            if push:
                for _ in range(count):
                    number += 1
                    fits = len(queue) < 8
                    assert ring.push(raw(number)) is fits
                    if fits:
                        queue.append(number)
                    else:
                        dropped += 1
            else:
                assert taken(ring, count) == queue[:count]
                del queue[:count]
        assert ring.dropped == dropped


def test_a_record_that_is_too_long_and_slots_that_are_no_power_of_two_are_refused():
    with ring_of(4) as ring:
        assert ring.record_bytes == 8
        with pytest.raises(ValueError, match="at most 8"):
            ring.push(raw(1, 2))
    with segment_of(4096) as segment:
        for slots in (0, 3, 6):
            with pytest.raises(ValueError, match="power of two"):
                Ring.format(segment, 0, 8, slots)


def test_the_producer_only_reads_the_tail():
    """The consumer is another process: the ring's head and its tail lie in different mappings."""
    with ring_of(4) as ring:
        ring.push(raw(5))
        assert ctypes.c_uint64.from_address(ring.tail_address).value == 0
        taken(ring, 1)
        assert ctypes.c_uint64.from_address(ring.tail_address).value == 1
        assert ctypes.c_uint64.from_address(ring.address).value == 1


def followed(follower, most=99):
    into = np.zeros(most, np.uint64)
    return into[: follower.follow(into.view(np.uint8))].tolist()


def test_a_follower_sees_what_comes_and_takes_nothing():
    with followed_ring_of(4) as (ring, follower):
        assert followed(follower) == []
        ring.push(raw(1))
        assert followed(follower) == [1]
        assert [ring.push(raw(k)) for k in (2, 3, 4, 5)] == [True] * 3 + [False]
        assert followed(follower, 2) == [2, 3]
        assert followed(follower) == [4]
        assert (follower.lost, follower.dropped) == (0, 1)
        assert ctypes.c_uint64.from_address(ring.tail_address).value == 0
        assert taken(ring, 9) == [1, 2, 3, 4]


def test_what_was_there_before_the_follower_came_is_not_its_own():
    with segment_of(Ring.size(8, 4), 64) as segment:
        Ring.format(segment, 0, 8, 4)
        ring = Ring(segment, 0, segment, 1)
        ring.push(raw(1))
        follower = RingFollower(segment, 0)
        ring.push(raw(2))
        assert followed(follower) == [2]


def test_a_follower_that_was_overtaken_says_how_many_it_missed():
    """Of 4 slots 3 are whole: the producer may be writing over the fourth."""
    with followed_ring_of(4) as (ring, follower):
        for value in range(10):
            ring.push(raw(value))
            taken(ring, 1)
        assert followed(follower) == [7, 8, 9]
        assert follower.lost == 7
        ring.push(raw(10))
        assert followed(follower) == [10]
        assert follower.lost == 7


def test_a_follower_refuses_what_is_no_ring_and_a_buffer_for_no_record():
    with followed_ring_of(4) as (_ring, follower):
        assert (follower.record_bytes, follower.slots) == (8, 4)
        with pytest.raises(ValueError, match="a record has 8"):
            follower.follow(np.zeros(7, np.uint8))
    with segment_of(4096, 64) as segment:
        with pytest.raises(ValueError, match="has no ring in part 0"):
            RingFollower(segment, 0)
        Mailbox.format(segment, 0, 64)
        with pytest.raises(ValueError, match="has no part 1"):
            Ring.format(segment, 1, 8, 4096)


@given(steps=st.lists(st.tuples(st.sampled_from("ptf"), st.integers(1, 12)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_every_record_is_followed_in_order_or_counted_as_lost(steps):
    number, seen = 0, []
    with followed_ring_of(8) as (ring, follower):
        for action, count in [*steps, ("f", 99)]:
            if action == "p":
                for _ in range(count):
                    number += ring.push(raw(number))
            elif action == "t":
                taken(ring, count)
            else:
                seen += followed(follower, count)
        assert len(seen) + follower.lost == number
        assert seen == sorted(set(seen))
        assert all(value < number for value in seen)


def test_no_record_is_torn_while_it_is_followed_and_another_process_writes():
    """Of two slots one is being written: a copy that is begun too late sees some of the next but one."""
    words, slots = 4096, 2
    script = Path(__file__).with_name("ring_writer.py")
    with segment_of(Ring.size(8 * words, slots)) as producer, segment_of(64) as consumer:
        Ring.format(producer, 0, 8 * words, slots)
        reader = Segment.attach_reader("load", producer.open_reader_fd())
        follower = RingFollower(reader, 0)
        fds = [producer.fd, consumer.fd]
        with subprocess.Popen(
            [sys.executable, str(script), *map(str, fds), str(words)],
            pass_fds=fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as writer:
            try:
                assert writer.stdout.readline() == b"ready\n"
                into = np.zeros((slots, words), np.uint64)
                raw_into = into.reshape(-1).view(np.uint8)
                last, seen, deadline_ns = 0, 0, now_ns() + 60_000_000_000
                while seen < 20_000 or follower.lost == 0:
                    for record in into[: follower.follow(raw_into)]:
                        assert (record == record[0]).all()
                        assert int(record[0]) > last
                        last = int(record[0])
                        seen += 1
                    assert now_ns() < deadline_ns, f"{seen} followed, {follower.lost} lost: never at once"
                assert last <= seen + follower.lost
            finally:
                writer.stdin.close()
        reader.close()
        assert writer.returncode == 0
