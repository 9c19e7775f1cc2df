"""Probes: their kinds, their fitting and their scores."""
