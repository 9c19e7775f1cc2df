"""Calibration clips: which rows are drawn, their labels and folds."""
