"""Results of a detector on a split: its numbers, and what they are compared with."""
