"""Datasets: videos with splits and anomalous intervals, and the readers of the files that describe them."""
