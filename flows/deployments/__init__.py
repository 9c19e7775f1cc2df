"""Deployments and automations for a Prefect server, and the step that pulls a checkout."""
