"""Features of opened stores, given to kernels and probes."""
