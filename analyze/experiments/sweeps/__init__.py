"""Sweeps: a job measured under several values of some settings; only changed steps are computed anew."""
