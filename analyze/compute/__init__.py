"""The schedulers of stage 2 (Dask or this process), threads of BLAS, and the cache of steps."""
