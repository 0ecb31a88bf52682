#!/bin/sh
# Line and branch coverage of the fence (fence*.c, sweep.c, kinematics.c, distance.c) by tests/test_fence*.py; fails
# below 100 %. The instrumented modules live in a temporary folder, and count in that run alone.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-$PWD/.venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
sources="fence fence_leave fence_pose sweep kinematics distance"

"$python" -m cython -3 native/fence.pyx -o "$scratch/binding.c"
for name in $sources; do
    gcc -c -fPIC -O0 -std=gnu11 --coverage "$PWD/native/core/$name.c" -o "$scratch/$name.o"
done
gcc -c -fPIC -O1 -std=gnu11 "$PWD/native/core/limiter.c" -o "$scratch/limiter.o"
gcc -shared -fPIC -O1 -std=gnu11 --coverage -I"$include" -Inative/core -x c "$scratch/binding.c" -x none \
    "$scratch"/*.o -o "$scratch/fence.so" -lm
gcc -shared -fPIC -O1 -std=gnu11 --coverage -Inative/core tests/native/fenced_arm.c "$scratch"/*.o \
    -o "$scratch/fenced_arm.so" -lm

"$python" - "$scratch/fence.so" "$scratch/fenced_arm.so" <<'RUN'
import glob, importlib.util, sys
import pytest

spec = importlib.util.spec_from_file_location("spinal.native.fence", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["spinal.native.fence"] = module
spec.loader.exec_module(module)
sys.path.insert(0, "tests")
import fence_rig

fence_rig.build = lambda *_: sys.argv[2]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sorted(glob.glob("tests/test_fence*.py"))]))
RUN

cd "$scratch"
for name in $sources; do
    gcov -b -c "$name.o" | sed -n "/core\/$name.c'/,/^\$/p" | tee report
    grep -q 'Lines executed:100.00%' report || { grep '#####' "$name.c.gcov"; exit 1; }
    grep -q 'No branches' report || grep -q 'Taken at least once:100.00%' report ||
        { grep -B3 'taken 0\|never executed' "$name.c.gcov"; exit 1; }
done
