"""A detector: fitted on calibration clips, applied to stores, compared with chance."""
