"""Building small C libraries for tests with the system's compiler."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "native" / "core"
SOURCES = Path(__file__).with_name("native")


def compiler():
    """The C compiler; the test is skipped where there is none."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no C compiler to build the test's servos with")
    return found


def build(source, folder, *flags):
    """A shared library from ``tests/native/<source>`` in ``folder``."""
    library = Path(folder) / Path(source).with_suffix(".so").name
    subprocess.run(
        [
            compiler(),
            "-shared",
            "-fPIC",
            "-O2",
            "-Wall",
            f"-I{CORE}",
            str(SOURCES / source),
            "-o",
            str(library),
            *flags,
        ],
        check=True,
    )
    return library
