"""Stores and backbones of known content for the benchmarks."""
