"""Tests; `make check` runs the fast ones, `make test` all."""
