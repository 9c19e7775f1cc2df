"""Commands for those who run the stages on a Prefect server."""
