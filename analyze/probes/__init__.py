"""Probes: kinds, fitting and scores."""
