"""`python convert.py` is `lenslet convert`; its options are those of `python convert.py --help`."""

import sys

from lenslet.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
