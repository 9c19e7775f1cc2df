"""Scenes of a fixed camera: a place, people and vehicles that move through it, and anomalies.

Frames are painted with NumPy alone. A picture element is a `Sprite`, its way through the video a `Track`, and a
video is a background with tracks, lighting and noise. Positions are pixels from the top left corner, speeds pixels per
second, colours RGB from 0 to 255, and frame intervals half-open, counted from 0.
"""
