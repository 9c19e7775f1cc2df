"""Experiments on finished stores: the papers' tables, our own tables, agreement, stability and sweeps."""
