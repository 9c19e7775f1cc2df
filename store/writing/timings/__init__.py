"""Timings of an extraction, kept beside the stores, with the shapes that decide the arithmetic of a pass."""
