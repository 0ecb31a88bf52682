"""``python -m spinal.bench ...`` is ``spinal bench ...``."""

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.exit(import_module("spinal.runtime.cli.main").main(["bench", *sys.argv[1:]]))
