"""Numbers that others have published, as data with their source: those of the two papers, and of other works apart."""
