"""How a model comes to be: from folders of photos to a fine-tuned network and its TFLite candidates."""
