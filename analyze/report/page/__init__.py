"""The report: one HTML page with all its data, which loads nothing; its tables are also CSV files beside it."""
