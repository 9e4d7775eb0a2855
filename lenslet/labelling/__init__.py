"""Labels from people: which photos to label next, tasks out to Label Studio, annotations back."""
