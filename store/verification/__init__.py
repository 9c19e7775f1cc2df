"""A second look at every byte of a store, and the repair of what is broken."""
