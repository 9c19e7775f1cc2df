"""Packets of a video, listed before anything is decoded: their clock, its breaks, and what is missing or damaged."""
