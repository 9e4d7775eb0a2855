"""Classification as it is served, and the decoding that training shares with it: pixels, model folder, errors."""
