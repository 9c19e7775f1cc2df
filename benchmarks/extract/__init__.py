"""Benchmarks of stage 1."""
