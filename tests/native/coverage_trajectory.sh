#!/bin/sh
# Line and branch coverage of native/core/trajectory.c by its tests; fails below 100 %.
exec "$(dirname "$0")/coverage_of.sh" trajectory trajectory tests/test_trajectory.py tests/test_trajectory_bspline.py
