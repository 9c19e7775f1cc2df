"""Events in time: found from scores, compared with true intervals."""
