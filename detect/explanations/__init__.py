"""Explanations of detected events: the backbone's own generated text about the frames of each, in files and streams."""
