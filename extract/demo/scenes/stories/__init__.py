"""Stories: the tracks of passers-by, of anomalies, and of harmless happenings that resemble them."""
