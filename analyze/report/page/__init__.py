"""The report: one HTML page that fetches nothing, its data inlined, its tables also as CSV beside it."""
