"""Stage 1 as tasks: its steps, spans of partitions, their progress, and helpers on other workers."""
