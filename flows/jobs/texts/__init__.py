"""Texts of a backbone about the segments and events of a job, kept beside its results."""
