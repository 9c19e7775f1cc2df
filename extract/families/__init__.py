"""Families of backbones: how each makes tokens and pixels of a clip and a prompt."""
