"""Artifacts of runs that need more than one call of Prefect: pictures, and pages of Dask."""
