#!/bin/sh
# Line and branch coverage of native/core/limiter.c and brake.h by tests/test_limiter*.py; fails below 100 %.
# The instrumented module lives in a temporary folder and takes the place of the built one in that run alone.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-$PWD/.venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')

"$python" -m cython -3 native/limiter.pyx -o "$scratch/binding.c"
gcc -c -fPIC -O0 -std=gnu11 --coverage "$PWD/native/core/limiter.c" -o "$scratch/limiter.o"
gcc -shared -fPIC -O1 -std=gnu11 --coverage -I"$include" -Inative/core -x c "$scratch/binding.c" -x none \
    "$scratch/limiter.o" -o "$scratch/limiter.so" -lm

"$python" - "$scratch/limiter.so" <<'RUN'
import glob, importlib.util, sys
import pytest

spec = importlib.util.spec_from_file_location("spinal.native.limiter", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["spinal.native.limiter"] = module
spec.loader.exec_module(module)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sorted(glob.glob("tests/test_limiter*.py"))]))
RUN

cd "$scratch"
gcov -b -c limiter.o >all
for name in limiter.c brake.h; do
    sed -n "/core\/$name'/,/^\$/p" all | tee report
    grep -q 'Lines executed:100.00%' report
    grep -q 'Taken at least once:100.00%' report || { grep -B3 'taken 0\|never executed' "$name.gcov"; exit 1; }
done
