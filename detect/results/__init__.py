"""Files of a detection: scores and events line by line, a table of events, and the summary."""
