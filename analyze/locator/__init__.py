"""The locator: from scores over time to events, by smoothing and a threshold, with their tuning and files."""
