"""Faults of servers, workers and runs: each ends in a store equal to an undisturbed one."""
