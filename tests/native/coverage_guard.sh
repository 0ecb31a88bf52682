#!/bin/sh
# Line and branch coverage of native/core/guard_judge.c by tests/test_guard.py and test_guard_judge.py; fails below 100 %.
# The instrumented module lives in a temporary folder and takes the place of the built one in that run alone.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-$PWD/.venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')

"$python" -m cython -3 native/guard.pyx -o "$scratch/binding.c"
gcc -c -fPIC -O0 -std=gnu11 --coverage "$PWD/native/core/guard_judge.c" -o "$scratch/guard_judge.o"
core=""
for name in guard limiter mailbox realtime clock; do
    core="$core native/core/$name.c"
done
gcc -shared -fPIC -O1 -std=gnu11 -I"$include" -Inative/core -x c "$scratch/binding.c" $core -x none \
    "$scratch/guard_judge.o" -o "$scratch/guard.so" --coverage -lpthread -lm

"$python" - "$scratch/guard.so" <<'RUN'
import importlib.util, sys
import pytest

spec = importlib.util.spec_from_file_location("spinal.native.guard", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["spinal.native.guard"] = module
spec.loader.exec_module(module)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/test_guard.py", "tests/test_guard_judge.py"]))
RUN

cd "$scratch"
gcov -b -c guard_judge.o | sed -n "/core\/guard_judge.c'/,/^\$/p" | tee report
grep -q 'Lines executed:100.00%' report
grep -q 'Taken at least once:100.00%' report || { grep -B3 'taken 0\|never executed' guard_judge.c.gcov; exit 1; }
