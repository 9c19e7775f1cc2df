"""Data sets: videos, their true intervals and split, where both come from, and what is known of the files."""
