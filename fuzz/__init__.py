"""Inputs that nobody would send in good faith: `make fuzz` runs both targets."""
