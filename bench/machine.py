"""On what machine a figure was measured, and which machines' timing may be compared."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from spinal.bench.result import Machine
from spinal.native.loop import COMPILER
from spinal.native.realtime import probe

FIFO_PRIORITY = 45
ROOT = Path(__file__).resolve().parents[1]


def describe() -> Machine:
    """This machine. Reads files only; takes some milliseconds."""
    processor, virtual = _processor(), _virtual()
    cores = len(os.sched_getaffinity(0))
    preempt_rt = Path("/sys/kernel/realtime").exists() or "PREEMPT_RT" in platform.version()
    return Machine(
        key=_key(platform.machine(), processor, f"{cores}c", virtual or "metal", "rt" if preempt_rt else ""),
        processor=processor,
        cores=cores,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        architecture=platform.machine(),
        kernel=platform.release(),
        preempt_rt=preempt_rt,
        virtual=virtual,
        governor=_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        realtime=probe(FIFO_PRIORITY),
        python=platform.python_version(),
        compiler=COMPILER,
        onnxruntime=_onnxruntime(),
        providers=_providers(),
    )


def commit() -> str:
    """Of the tree that this runs from, with ``+`` when it was changed; the version where there is no tree."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return f"release {metadata.version('spinal')}"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _key(*parts: str) -> str:
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts if part)


def _processor() -> str:
    info = _text("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    board = _text("/proc/device-tree/model").strip("\0")
    return (named.group(1) if named else board) or platform.processor() or platform.machine()


def _virtual() -> str:
    if not re.search(r"^flags\s*:.*\bhypervisor\b", _text("/proc/cpuinfo"), re.MULTILINE):
        return ""
    return _text("/sys/class/dmi/id/sys_vendor").strip() or "virtual"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _onnxruntime() -> str:
    for name in ("onnxruntime-gpu", "onnxruntime"):
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return "none"


def _providers() -> list[str]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return list(onnxruntime.get_available_providers())
