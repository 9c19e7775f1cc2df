"""Steps of these flows as tasks; each imports what it needs when it runs."""
