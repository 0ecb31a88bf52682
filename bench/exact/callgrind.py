"""Instructions of one kind of tick, counted by callgrind, as a whole and function by function.

N. Nethercote, J. Seward, "Valgrind", PLDI 2007. No cache is simulated. What the C library chooses by processor
(its vectorised copies, fused multiply-add) is held to what every x86-64 has, so the number belongs to the compiler
and the library, not to the machine. Functions that were inlined count with whom they were inlined into.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from spinal.bench.exact.toolchain import LIMIT_S, Built, UnavailableError

ENVIRONMENT = {
    "LC_ALL": "C",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-FMA,-FMA_Usable,-FMA4,-ERMS,-FSRM,"
    "-AVX_Fast_Unaligned_Load:glibc.cpu.name=generic",
}
"""The whole of it: its size would move the stack."""
ENTRY = "sp_loop_tick"
COST = re.compile(r"^[+\-*\d]\S* (\d+)$")


@dataclass(frozen=True, slots=True)
class Profile:
    """Instructions of one tick, averaged over ``ticks`` of its kind. ``total``: of all of them, an integer."""

    total: int
    ticks: int
    inclusive: dict[str, float]
    """Function -> instructions of it and of what it calls, per tick."""
    own: dict[str, float]
    """Function -> its own alone."""

    @property
    def per_tick(self) -> float:
        """The figure."""
        return self.total / self.ticks


def profile(built: Built, joints: int, kind: str, ticks: int, number: int = 0) -> Profile:
    """Runs the harness under callgrind; ``kind``: plain, hand_off or fault_check.

    ``number`` keeps runs of the same configuration apart. Raises UnavailableError without valgrind, or when it
    does not run here.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise UnavailableError("no valgrind", "apt install valgrind")
    out = f"callgrind.{joints}.{kind}.{number}"
    options = ["--tool=callgrind", "--quiet", "--vgdb=no", "--compress-strings=no", "--compress-pos=no"]
    command = [valgrind, *options, f"--callgrind-out-file={out}", f"--toggle-collect={kind}_tick"]
    done = subprocess.run(
        [*command, built.harness, str(joints), str(ticks)],
        cwd=built.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        raise UnavailableError(
            f"callgrind does not run here: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}",
            "run valgrind --tool=callgrind true, and see",
        )
    counted = json.loads(done.stdout)[kind]
    inclusive, own = parse((built.folder / out).read_text().splitlines())
    return Profile(
        inclusive[ENTRY],
        counted,
        {name: cost / counted for name, cost in inclusive.items()},
        {name: cost / counted for name, cost in own.items()},
    )


def parse(lines: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Function -> (inclusive, own) instructions, of a callgrind file with neither names nor positions compressed.

    ``fn=`` begins a function, each line of two numbers under it is a position and its cost; the one behind
    ``calls=`` is the cost of that call, from beginning to end. Recursion counts more than once (there is none in
    the tick). See "Callgrind Format Specification" in valgrind's manual.
    """
    inclusive: dict[str, int] = defaultdict(int)
    own: dict[str, int] = defaultdict(int)
    function, called = "", False
    for line in lines:
        if line.startswith("fn="):
            function = line[3:].strip()
        elif line.startswith("calls="):
            called = True
        elif function and (found := COST.match(line)):
            inclusive[function] += int(found.group(1))
            own[function] += 0 if called else int(found.group(1))
            called = False
    return dict(inclusive), dict(own)
