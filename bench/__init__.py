"""This project and its peers, side by side: `python -m bench.serving`."""
