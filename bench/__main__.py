"""``python -m spinal.bench ...`` is ``spinal bench ...``."""

import sys

from spinal.runtime.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
