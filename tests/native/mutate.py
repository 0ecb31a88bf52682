"""Mutants of one file of native/core: each is built, and the tests that should notice it are run.

    python tests/native/mutate.py reflex reflex tests/test_reflex.py tests/test_reflex_*.py
    python tests/native/mutate.py modes loop tests/test_modes.py

The words are the file, the extension that binds it, and the tests. Operators are exchanged as ``SWAPS`` says and
numbers made half as large again, one place at a time. Survivors are printed with their line: each is harmless, or a
test is missing. ``--every N`` takes each N-th mutant alone.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_LIMIT_S = 300
ENVIRONMENT = {**os.environ, "HYPOTHESIS_PROFILE": "mutants"}
SWAPS = (
    (" <= ", " < "),
    (" >= ", " > "),
    (" < ", " <= "),
    (" > ", " >= "),
    (" <= ", " >= "),
    (" >= ", " <= "),
    (" < ", " > "),
    (" > ", " < "),
    (" == ", " != "),
    (" != ", " == "),
    (" && ", " || "),
    (" || ", " && "),
    (" + ", " - "),
    (" - ", " + "),
    (" * ", " / "),
    (" / ", " * "),
    (" += ", " -= "),
    ("!", ""),
    (" | ", " & "),
    (" & ", " | "),
    ("fabs(", "("),
    ("return 1", "return 0"),
    ("= 0;", "= 1;"),
)
NUMBER = re.compile(r"(?<![\w.])(\d+\.\d+|[2-9]|\d\d+)(?![\w.])")


def code_lines(text):
    """Numbers of the lines that hold code: no comments, includes or prototypes."""
    inside = False
    for number, line in enumerate(text.splitlines()):
        bare = line.strip()
        inside = inside or bare.startswith("/*")
        if not inside and bare and not bare.startswith(("#include", "//")):
            yield number
        if "*/" in bare:
            inside = False


def mutants(text):
    """(line number, what was done, the whole text)."""
    lines = text.splitlines(keepends=True)
    for number in code_lines(text):
        line = lines[number]
        end = line.find("/*") if "/*" in line else len(line)
        places = [
            (found.start(), old, new)
            for old, new in SWAPS
            for found in re.finditer(re.escape(old), line[:end])
        ]
        places += [
            (found.start(), found.group(), repr(float(found.group()) * 1.5))
            for found in NUMBER.finditer(line[:end])
        ]
        for at, old, new in places:
            if old == "!" and line[at + 1 : at + 2] == "=":
                continue
            changed = line[:at] + new + line[at + len(old) :]
            yield (
                number + 1,
                f"{line.strip()}  ->  {changed.strip()}",
                "".join([*lines[:number], changed, *lines[number + 1 :]]),
            )


def sources(binding, subject):
    """The other core files of the extension."""
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    (found,) = (module["sources"] for module in modules if module["name"] == f"spinal.native.{binding}")
    cores = [source.removeprefix("spinal/") for source in found if source.endswith(".c")]
    return [ROOT / core for core in cores if Path(core).stem != subject]


RUN = """
import importlib.util, sys
import pytest
from hypothesis import Phase, settings
# One example that fails is enough here: it is not made smaller.
settings.register_profile("mutants", derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate])
path, name, *tests = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, path)
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))
"""


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("subject")
    arguments.add_argument("binding")
    arguments.add_argument("tests", nargs="+")
    arguments.add_argument("--every", type=int, default=1)
    asked = arguments.parse_args()
    text = (ROOT / "native" / "core" / f"{asked.subject}.c").read_text()
    include = [f"-I{sysconfig.get_paths()['include']}", f"-I{ROOT / 'native' / 'core'}"]
    assert importlib.util.find_spec("Cython"), "the binding is made with Cython"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        binding = scratch / "binding.c"
        cython = [sys.executable, "-m", "cython", "-3", f"native/{asked.binding}.pyx", "-o", str(binding)]
        subprocess.run(cython, check=True, cwd=ROOT)
        flags = ["-fPIC", "-O1", "-std=gnu11", "-w", *include]
        objects = []
        for source in [binding, *sources(asked.binding, asked.subject)]:
            made = scratch / f"{source.stem}.o"
            subprocess.run(["gcc", "-c", *flags, str(source), "-o", str(made)], check=True)
            objects.append(str(made))
        survivors, tried, broken = [], 0, 0
        unchanged = (0, "unchanged", text)
        for number, what, mutant in [unchanged, *list(mutants(text))[:: asked.every]]:
            (scratch / "mutant.c").write_text(mutant)
            module = scratch / f"module{tried + broken}.so"
            build = [
                "gcc",
                "-shared",
                *flags,
                str(scratch / "mutant.c"),
                *objects,
                "-o",
                str(module),
                "-lm",
                "-lpthread",
            ]
            if subprocess.run(build, capture_output=True, check=False).returncode:
                broken += 1
                continue
            run = [sys.executable, "-c", RUN, str(module), f"spinal.native.{asked.binding}", *asked.tests]
            try:
                code = subprocess.run(
                    run, capture_output=True, check=False, cwd=ROOT, env=ENVIRONMENT, timeout=RUN_LIMIT_S
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1  # it never ends: that is noticed
            if number == 0 and code:
                sys.exit("the tests fail on the unchanged file")
            if number and not code:
                survivors.append((number, what))
                print(f"survived  {asked.subject}.c:{number}  {what}", flush=True)
            tried += number > 0
            module.unlink()
        print(
            f"{tried} mutants, {tried - len(survivors)} noticed, {len(survivors)} survived; {broken} do not compile"
        )


if __name__ == "__main__":
    main()
