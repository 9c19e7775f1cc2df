"""Stores below a folder: listed, shown, compared, described by cards, and cleaned up."""
