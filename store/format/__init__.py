"""What a feature store is: its specification, clip table, arrays and records, as FORMAT.md says."""
