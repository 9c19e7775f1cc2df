"""Pictures of a detection: the curve with its events, a film of each event, and the video with its score."""
