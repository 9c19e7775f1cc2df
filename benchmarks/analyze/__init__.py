"""Benchmarks of stage 2."""
