"""Artifacts of runs that need more than a call of Prefect: pictures, pages of Dask."""
