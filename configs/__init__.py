"""Job files that are shipped: presets of both methods, jobs on real sets, and the papers' protocols in parts."""
