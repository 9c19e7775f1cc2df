"""Experiments on finished features and scores: what commands and flows share."""
