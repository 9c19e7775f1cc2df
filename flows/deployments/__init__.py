"""Files for a Prefect server: automations that a team applies once."""
