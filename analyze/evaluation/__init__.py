"""Scores against the truth: frame and event metrics, baselines, score files."""
