"""Benchmarks; run each as a module from the root: python -m benchmarks.store.store_reading."""
