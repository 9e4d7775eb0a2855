"""Many photos at once: where they are, classifying them, and tables of the answers."""
