"""Scores over time to decisions: smoothing, threshold, grid, cross-fitting."""
