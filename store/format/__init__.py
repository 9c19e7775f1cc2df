"""The format of a feature store: specification, clip table, arrays and records, as FORMAT.md says."""
