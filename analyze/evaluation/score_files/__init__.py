"""Scores of other programs: reading their files, and laying the scores on the frames of a ground truth."""
