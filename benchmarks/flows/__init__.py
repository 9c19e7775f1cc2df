"""Orchestration: the costs of Prefect, and the gain of more workers."""
