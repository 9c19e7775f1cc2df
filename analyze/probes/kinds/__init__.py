"""The kinds of fitted probes: values that score, and the fits that need no library."""
