"""Evaluation of scores against ground truth: frame and event metrics, intervals, baselines, score files."""
