"""Pre-training of the demo backbone: a small captioner of generated scenes, made from nothing by its recipe."""
