"""Commands from a video to events: detectors in one file, detection with them, and the backbone's own texts."""
