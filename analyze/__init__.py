"""Stage 2: features to scores, from the cache alone and without torch."""
