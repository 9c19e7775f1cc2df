"""A logistic probe fitted to more rows than memory holds, on Dask."""
