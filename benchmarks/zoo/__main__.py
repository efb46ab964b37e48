"""Running the zoo: ``python -m benchmarks.zoo --out DIR [--only NAME] [--sample N] [--axes all|K]``."""

import sys

from benchmarks.zoo.run import main

if __name__ == "__main__":
    sys.exit(main())
