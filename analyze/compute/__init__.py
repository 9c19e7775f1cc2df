"""Where stage 2 computes: Dask, threads of BLAS, and the cache of steps."""
