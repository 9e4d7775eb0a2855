"""The serving tier: everything that runs inside the function, and the pixel contract that training shares."""
