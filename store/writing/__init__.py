"""Writing a store: planning it, its partitions, committing it."""
