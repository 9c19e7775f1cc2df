"""Events in time: detected from scores, and compared with true intervals."""
