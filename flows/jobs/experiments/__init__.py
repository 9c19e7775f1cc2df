"""Experiments on finished features and scores, shared by commands and flows."""
