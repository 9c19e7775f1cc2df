"""Locating anomalies while scores arrive: smoothing with a stated delay, and events that close."""
