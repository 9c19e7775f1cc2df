"""InternVL checkpoints as their authors publish them, converted for transformers."""
