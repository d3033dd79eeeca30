"""``python -m chaos.simulator``."""

import sys

from chaos.simulator.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
