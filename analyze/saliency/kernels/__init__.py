"""Batched statistics of many heads at once."""
