"""Detection in a stream: segments scored as they come, events as they close."""
