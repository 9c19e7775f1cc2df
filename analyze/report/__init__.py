"""Evaluation files, figures and the report page."""
