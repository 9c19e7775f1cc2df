"""Commands from a video to events: detectors in one file, and detection with them."""
