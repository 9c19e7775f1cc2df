"""The captioner's model, its batches, its optimiser and the loop over steps."""
