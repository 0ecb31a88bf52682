"""The floor of the planner link, as a process of its own: a bare ROUTER that unpacks a message and sends it back.

``python -m spinal.bench.link.bare_echo --endpoint ipc:///...`` knows no gate, no sessions, no deadlines, no types.
What is left is ZeroMQ over ipc, msgpack, and two processes that wake each other. It says "ready" once it is bound.
"""

from __future__ import annotations

import argparse
import gc
import sys

import msgspec
import zmq

from spinal.runtime.parent import end_with_parent


def main() -> int:
    """Echoes until its parent ends it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--parent", type=int, default=0)
    args = parser.parse_args()
    end_with_parent(args.parent)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind(args.endpoint)
    print("ready", flush=True)
    gc.collect()
    gc.freeze()
    while True:
        peer, frame = socket.recv_multipart()
        socket.send_multipart([peer, msgspec.msgpack.encode(msgspec.msgpack.decode(frame))])


if __name__ == "__main__":
    sys.exit(main())
