"""The shared memory of one robot, as its owner: made once, to be written by one process and read by the rest."""

from __future__ import annotations

import os

from spinal.native.shared import Segment
from spinal.runtime import segments
from spinal.runtime.segments import Writer


class SharedMemory:
    """Every writer's segment for a robot of ``joints`` joints. The supervisor's own is mapped to write here."""

    def __init__(self, joints: int) -> None:
        self.views: dict[Writer, Segment] = {}
        """Mapped in this process."""
        self.write_fds: dict[Writer, int] = {}
        self.read_fds: dict[Writer, int] = {}
        self._made: list[Segment] = []
        for writer in Writer:
            made = segments.create(writer, joints)
            self._made.append(made)
            self.write_fds[writer] = made.fd
            self.read_fds[writer] = made.open_reader_fd()
            own = writer is Writer.SUPERVISOR
            attach = Segment.attach_writer if own else Segment.attach_reader
            self.views[writer] = attach(writer.value, os.dup(made.fd if own else self.read_fds[writer]))

    def close(self) -> None:
        """Unmaps and closes all. Nothing made from it may be used afterwards."""
        for segment in [*self.views.values(), *self._made]:
            segment.close()
        for fd in self.read_fds.values():
            os.close(fd)
        self.read_fds.clear()
