"""`python test.py` is `lenslet test`; its options are those of `python test.py --help`."""

import sys

from lenslet.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
