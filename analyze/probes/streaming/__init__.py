"""Fitting a logistic probe in blocks to more rows than memory holds, on Dask."""
