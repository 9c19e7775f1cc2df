"""Files for a Prefect server, automations and deployments of a checkout, and what a deployment pulls."""
