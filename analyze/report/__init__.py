"""Files and texts of evaluations, the report page, and published numbers."""
