"""`python train.py` is `lenslet train`; its options are those of `python train.py --help`."""

import sys

from lenslet.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
