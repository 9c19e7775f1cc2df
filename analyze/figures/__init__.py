"""Figures of both papers, drawn from finished stores and written with the numbers that they show."""
