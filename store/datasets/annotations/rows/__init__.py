"""Rows of annotation files, whatever they are written in: CSV, JSON, text."""
