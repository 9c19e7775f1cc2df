"""Annotations that are many small files: masks of frames, tracks of objects."""
