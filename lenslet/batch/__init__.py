"""Many photos: where they are, the plan of parts, classifying them here or on other machines, and the answers."""
