"""Steps of these flows as tasks; what they need is imported when they run."""
