"""Datasets: videos with their true intervals and splits, the files that tell both, and what is known of the videos."""
