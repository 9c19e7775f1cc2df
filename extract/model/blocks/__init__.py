"""The language model's blocks: found, watched by hooks, measured and compiled."""
