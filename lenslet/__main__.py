"""`python -m lenslet`, and what the script `lenslet` calls: the command line of `lenslet.cli`.

It imports nothing of its own, so that Ctrl-C is one line from the moment on at which Python has started.
"""


def main(words: list[str] | None = None) -> int:
    """Run the command line, that of the process by default. Returns the exit code."""
    try:
        from lenslet.cli import main as run  # takes a tenth of a second

        return run(words)
    except KeyboardInterrupt:
        import sys

        print("\nlenslet: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
