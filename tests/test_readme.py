"""The README's code runs, and the commands it names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from spinal.runtime.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ROOMS = ("runtime", "native", "drivers", "bench")
PAGES = [ROOT / room / "README.md" for room in ROOMS] + [ROOT / "README.md"]


def test_the_python_of_the_readme_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    assert all("largest seam" in line for line in done.stdout.splitlines())


def test_the_code_is_about_fifteen_lines() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_every_command_of_the_readme_exists_and_none_is_left_out() -> None:
    named = set(re.findall(r"`spinal (\w+)", README))
    assert named == set(COMMANDS)


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.findall(r"@[A-Z]+@", README)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`((?:runtime|native|drivers|launch|bench|tests)/[\w./]+\.\w+)`", text):
        assert "NAME" in name or (ROOT / name).exists(), name
