"""Processors are kept from sleeping exactly as long as the loop runs, and a refusal is said."""

import os
import struct
from pathlib import Path

import pytest

from spinal.runtime.awake import DEVICE, AwakeProcessors


def holders(device):
    """This process's descriptors of ``device``."""
    return [fd for fd in os.listdir("/proc/self/fd") if _link(fd) == str(device)]


def _link(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def test_no_latency_is_asked_for_and_held_until_the_end(tmp_path):
    device = tmp_path / "cpu_dma_latency"
    device.write_bytes(b"")
    with AwakeProcessors(True, str(device)) as awake:
        assert awake.refused is None
        assert device.read_bytes() == struct.pack("=i", 0)
        assert len(holders(device)) == 1
    assert holders(device) == []


def test_it_is_let_go_when_the_loop_fails(tmp_path):
    device = tmp_path / "cpu_dma_latency"
    device.write_bytes(b"")
    with pytest.raises(RuntimeError), AwakeProcessors(True, str(device)):
        raise RuntimeError
    assert holders(device) == []


def test_what_was_not_asked_for_is_not_touched(tmp_path):
    device = tmp_path / "cpu_dma_latency"
    device.write_bytes(b"")
    with AwakeProcessors(False, str(device)) as awake:
        assert awake.refused == "not asked"
        assert holders(device) == []


def test_a_refusal_is_given_in_words(tmp_path):
    with AwakeProcessors(True, str(tmp_path / "absent")) as awake:
        assert awake.refused == "No such file or directory"


@pytest.mark.skipif(not os.access(DEVICE, os.W_OK), reason="this user may not ask for it")
def test_the_kernel_takes_it():
    with AwakeProcessors(True) as awake:
        assert awake.refused is None
        assert struct.unpack("=i", Path(DEVICE).read_bytes()[:4]) == (0,)
