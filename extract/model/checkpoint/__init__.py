"""Checkpoint folders: their card, their weight files, and how weights are quantised."""
