"""Null distribution of saliency, from permuted labels."""
