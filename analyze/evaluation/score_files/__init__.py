"""Scores that others computed: reading their files and laying them on the frames of a truth."""
