#!/bin/sh
# Line and branch coverage of one file of native/core by the tests that name it; fails below 100 %.
#
#     tests/native/coverage_of.sh reflex reflex tests/test_reflex*.py
#     tests/native/coverage_of.sh modes loop tests/test_modes.py
#
# The first word is the file, the second the extension that binds it. The instrumented module lives in a temporary
# folder and takes the place of the built one in that run alone.
set -eu
subject=$1 binding=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
python=${PYTHON:-$root/.venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
others=$("$python" - "$subject" "$binding" <<'SOURCES'
import sys, tomllib
subject, binding = sys.argv[1:]
with open("pyproject.toml", "rb") as file:
    modules = tomllib.load(file)["tool"]["setuptools"]["ext-modules"]
(sources,) = (module["sources"] for module in modules if module["name"] == f"spinal.native.{binding}")
cores = [source.removeprefix("spinal/") for source in sources if source.endswith(".c")]
assert f"native/core/{subject}.c" in cores, f"{binding} does not bind core/{subject}.c"
print(*(core for core in cores if core != f"native/core/{subject}.c"))
SOURCES
)

"$python" -m cython -3 "native/$binding.pyx" -o "$scratch/binding.c"
gcc -c -fPIC -O0 -std=gnu11 --coverage "$root/native/core/$subject.c" -o "$scratch/$subject.o"
# shellcheck disable=SC2086  # several sources
gcc -shared -fPIC -O1 -std=gnu11 -w -I"$include" -Inative/core -x c "$scratch/binding.c" $others -x none \
    "$scratch/$subject.o" -o "$scratch/module.so" -lm -lpthread -lgcov

"$python" - "$scratch/module.so" "$binding" "$@" <<'RUN'
import importlib.util, sys
import pytest

path, binding, *tests = sys.argv[1:]
name = f"spinal.native.{binding}"
spec = importlib.util.spec_from_file_location(name, path)
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *tests]))
RUN

cd "$scratch"
gcov -b -c "$subject.o" | sed -n "/core\/$subject.c'/,/^\$/p" | tee report
grep -q 'Lines executed:100.00%' report
grep -q 'Taken at least once:100.00%' report || { grep -B3 'taken 0\|never executed' "$subject.c.gcov"; exit 1; }
