"""Job files and how each stage's job runs, on one device or several."""
