"""Readers of annotation files, split lists and frame counts as they are found on users' disks."""
