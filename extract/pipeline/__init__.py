"""From a plan to written partitions: claiming, decoding, passes and writing at the same time."""
