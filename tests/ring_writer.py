"""The other process of test_shared: pushes self-consistent records as fast as it can, until it is told to end.

    ring_writer.py SEGMENT_FD TAIL_FD WORDS

It is its own consumer. Each record is ``WORDS`` times its own number. Ends when standard input closes.
"""

import os
import select
import sys

import numpy as np

from spinal.native.shared import Ring, Segment


def main():
    segment_fd, tail_fd, words = (int(text) for text in sys.argv[1:])
    ring = Ring(Segment.attach_writer("load", segment_fd), 0, Segment.attach_writer("tail", tail_fd), 0)
    record, taken = np.zeros(words, np.uint64), np.zeros(words, np.uint64)
    raw, into = record.view(np.uint8), taken.view(np.uint8)
    os.write(1, b"ready\n")
    number = 0
    while not select.select([0], [], [], 0)[0]:
        for _ in range(2000):
            number += 1
            record[:] = number
            ring.push(raw)
            ring.take(into)


if __name__ == "__main__":
    main()
