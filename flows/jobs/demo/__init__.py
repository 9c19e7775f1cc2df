"""The demo in steps: generated sets, the shipped backbone, both methods, the model's texts, and a second set."""
