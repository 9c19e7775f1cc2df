"""Confidence intervals by resampling whole videos."""
