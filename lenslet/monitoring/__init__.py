"""Drift: what an endpoint answered, compared with the reference distributions of its model."""
