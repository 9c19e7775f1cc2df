"""The backbone of a detector: found near its file, described, and compared with what the detector was fitted with."""
