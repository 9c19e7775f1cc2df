"""Sweeps: a job measured again under other values of a few of its settings, only what changed computed anew."""
