"""One extracting process on each of several devices of a machine."""
