"""What serves a model, and the decoding that training shares with it: pixels, model folder, classifier, errors."""
