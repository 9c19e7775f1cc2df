"""Orchestration: what Prefect costs a run, and what more workers give."""
