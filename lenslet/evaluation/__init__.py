"""How a model is judged: arrays and a classifier in, numbers and pictures out."""
