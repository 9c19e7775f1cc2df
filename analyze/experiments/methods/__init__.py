"""Comparison of both methods with single layers, random heads, the backbone's own text, and trivial baselines."""
