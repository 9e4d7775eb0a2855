"""Fuzz targets, decoding and the handler; `make fuzz` runs both."""
