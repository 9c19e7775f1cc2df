"""Results of a detector on a split: its scores measured, and what stands beside them."""
