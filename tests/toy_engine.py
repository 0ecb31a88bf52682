"""An engine that doubles, and does what the file that it is given says: to be killed, to hang, to fail."""

import sys
import time
from pathlib import Path

from spinal.runtime.policy import engine_server


def main():
    how = Path(sys.argv[1])

    def load(model, inputs, outputs):
        if how.read_text() == "never ready":
            raise RuntimeError("no such device")

        def run():
            done = how.read_text()
            if done == "fails":
                raise ValueError("it cannot be done")
            while how.read_text() in ("hangs", "babbles"):
                if done == "babbles":
                    bell().send(b"\1")
                time.sleep(0.005)
            outputs["y"][...] = 2 * inputs["x"]
            outputs["count"][...] += 1

        return run

    return engine_server.serve(load)


def bell():
    import os
    import socket

    return socket.socket(fileno=os.dup(int(os.environ[engine_server.BELL_VARIABLE])))


if __name__ == "__main__":
    sys.exit(main())
