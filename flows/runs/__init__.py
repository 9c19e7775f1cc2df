"""Runs of the flows: their parameters, names, steps as tasks, artifacts, states and retries."""
