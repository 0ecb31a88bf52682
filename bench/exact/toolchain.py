"""The C compiler of this machine, and what is built with it: the harness exactly as the extension modules are.

Instructions may be compared only between builds of the same compiler, flags and C library: they make the key of a
baseline.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from spinal.bench.machine import ROOT
from spinal.bench.options import PLANTS
from spinal.runtime.errors import BenchError

FLAGS = ("-O2", "-g", "-std=gnu11")
"""Of the extension modules, where there is no pyproject.toml beside the package; a test holds it to that."""
LINK_FLAGS = ("-Wl,-z,now",)
MODULE_FLAGS = ("-fPIC",)
"""What makes an object fit for a module: setuptools adds it by itself."""
CORE_SOURCES = (
    "loop", "loop_judge", "loop_plan", "loop_command", "modes", "reflex", "fence", "fence_leave",
    "fence_pose", "sweep", "kinematics", "distance", "trajectory", "limiter", "mailbox", "ring", "segment",
    "histogram", "clock", "realtime", "feetech_bus", "feetech_health", "feetech", "mirror", "bus_group",
)  # fmt: skip
LIMIT_S = 60.0
NATIVE = Path(__file__).with_name("native")
CORE = ROOT / "native" / "core"


class UnavailableError(BenchError):
    """Something that counting needs is not on this machine; the hint says what to install."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """``version``: like ``gcc 12.2.0``; ``libc``: like ``glibc 2.36``."""

    compiler: str
    version: str
    libc: str
    flags: tuple[str, ...]
    link_flags: tuple[str, ...]

    @property
    def name(self) -> str:
        """For a person."""
        words = (self.version, *self.flags, *MODULE_FLAGS, self.libc, platform.machine())
        return " ".join(word for word in words if word)

    @property
    def key(self) -> str:
        """For the name of a file: lower case, digits and hyphens."""
        parts = (platform.machine(), self.version, *self.flags, *MODULE_FLAGS, self.libc)
        return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Built:
    """Programs and libraries in a folder that its owner removes."""

    folder: Path
    harness: str = "./harness"
    """From ``folder``: a path of the same length everywhere, for it stands on the program's stack."""

    @property
    def counting(self) -> Path:
        """The library to preload."""
        return self.folder / "count_calls.so"

    @property
    def tracer(self) -> Path:
        """The program that sees system calls."""
        return self.folder / "trace_calls"

    @property
    def plants(self) -> Path:
        """The library with one slow-down, for a loop in a Python process."""
        return self.folder / "plant_library.so"


def find() -> Toolchain:
    """This machine's. Raises UnavailableError when there is no compiler, or no sources to compile."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise UnavailableError("no C compiler", "apt install gcc libc6-dev")
    if not (CORE / "loop.h").exists():
        raise UnavailableError("this installation has no sources of native/core", "measure from a clone")
    said = _said(compiler, "--version")
    kind = "clang" if "clang" in said else "gcc"
    version = _said(compiler, "-dumpfullversion", "-dumpversion").strip()
    flags, link_flags = extension_flags()
    return Toolchain(compiler, f"{kind} {version}", " ".join(platform.libc_ver()).strip(), flags, link_flags)


def extension_flags() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(to compile, to link) of the loop's module, from pyproject.toml where this runs from a tree."""
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        modules = project["tool"]["setuptools"]["ext-modules"]
    except (OSError, KeyError):
        return FLAGS, LINK_FLAGS
    loop = next(module for module in modules if module["name"] == "spinal.native.loop")
    return tuple(loop["extra-compile-args"]), tuple(loop["extra-link-args"])


def build(toolchain: Toolchain, folder: Path, plant: str = "none") -> Built:
    """Compiles everything into ``folder``. Raises UnavailableError with the compiler's first complaint."""
    planted = f"-DPLANT={PLANTS.index(plant)}"
    plain = [toolchain.compiler, "-std=gnu11", "-O2", "-g"]
    core = [str(CORE / f"{name}.c") for name in CORE_SOURCES]
    commands = [
        [
            toolchain.compiler, *toolchain.flags, *MODULE_FLAGS, planted, f"-I{CORE}", str(NATIVE / "harness.c"),
            *core, *toolchain.link_flags, "-o", "harness", "-lm", "-lpthread",
        ],
        [*plain, "-shared", "-fPIC", str(NATIVE / "count_calls.c"), "-o", "count_calls.so", "-ldl", "-lpthread"],
        [*plain, str(NATIVE / "trace_calls.c"), "-o", "trace_calls"],
    ]  # fmt: skip
    if plant != "none":
        library = ["-shared", "-fPIC", planted, f"-I{CORE}", str(NATIVE / "plant_library.c")]
        commands.append([*plain, *library, "-o", "plant_library.so", "-lpthread"])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda command: _compile(command, folder), commands):
            pass
    return Built(folder)


def call_names(toolchain: Toolchain) -> dict[int, str]:
    """Number -> name of this machine's system calls, from the C library's header."""
    done = subprocess.run(
        [toolchain.compiler, "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    return {
        int(number): name
        for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", done.stdout, re.MULTILINE)
    }


def _compile(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if done.returncode:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise UnavailableError(
            f"the harness does not compile: {complaint.strip()}", "apt install gcc libc6-dev"
        )


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S).stdout
