"""`python -m lenslet`: the command line of `lenslet.cli`."""

import sys

try:
    from lenslet.cli import main
except KeyboardInterrupt:  # in the tenth of a second that the import takes
    print("\nlenslet: stopped", file=sys.stderr)
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
