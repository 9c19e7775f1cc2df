"""Flows beside those of the two stages: events in videos, scores of any origin, tables, and a whole experiment."""
