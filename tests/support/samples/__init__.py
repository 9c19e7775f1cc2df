"""Random samples for the tests: heads, scored clips, blocks of labelled rows."""
