"""Job files, and the run of each stage of a job, on one device or several."""
