"""Six kinds of scene, drawn from random numbers alone: no photo goes in."""
