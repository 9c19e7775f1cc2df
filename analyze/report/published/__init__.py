"""Published numbers as data with their sources: those of the two papers, and those of other works."""
