"""Packets as a container lists them before anything is decoded: their clock, and where either breaks."""
