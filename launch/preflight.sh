#!/bin/sh
# Says in one line what a fresh machine lacks before anything is installed.
python=${1:-python3}
missing=""
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || missing="$missing gcc"
if ! command -v "$python" >/dev/null 2>&1; then
  missing="$missing python3"
elif ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
  echo "spinal needs Python 3.11, 3.12 or 3.13, and $python is $("$python" -V 2>&1): run make PYTHON=python3.12" >&2
  exit 1
else
  "$python" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || missing="$missing python3-dev"
fi
[ -z "$missing" ] && exit 0
echo "spinal cannot be installed yet, missing:$missing. On Debian or Ubuntu: sudo apt-get install$missing" >&2
exit 1
