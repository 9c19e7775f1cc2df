"""Features of open stores, passed to kernels and probes."""
