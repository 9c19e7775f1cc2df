"""Slow definitions that the code is compared with."""
