"""Prefect deployments and the command line, on top of both stages."""
