"""Job files as files: merged with those that they extend, and written out whole."""
