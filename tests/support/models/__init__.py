"""Tiny models and checkpoints."""
