"""The other process of test_shared: publishes self-consistent payloads as fast as it can, until it is told to end.

    mailbox_writer.py SEGMENT_FD WORDS

Each payload is ``WORDS`` times its own number. Ends when standard input closes.
"""

import os
import select
import sys

import numpy as np

from spinal.native.shared import Mailbox, Segment


def main():
    segment_fd, words = (int(text) for text in sys.argv[1:])
    segment = Segment.attach_writer("load", segment_fd)
    mailbox = Mailbox(segment, 0)
    payload = np.zeros(words, np.uint64)
    raw = payload.view(np.uint8)
    os.write(1, b"ready\n")
    while not select.select([0], [], [], 0)[0]:
        for _ in range(2000):
            payload[:] = mailbox.latest + 1
            mailbox.publish(raw)


if __name__ == "__main__":
    main()
