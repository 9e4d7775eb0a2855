"""Lenslet: a folder of labelled photos becomes a small, calibrated, explained classifier behind an HTTPS endpoint."""

__version__ = "0.2.0"
