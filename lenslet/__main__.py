"""`python -m lenslet`: the command line of `lenslet.cli`."""

import sys

from lenslet.cli import main

if __name__ == "__main__":
    sys.exit(main())
