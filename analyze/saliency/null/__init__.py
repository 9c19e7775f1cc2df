"""Saliency by chance: permutations of the labels."""
