"""The tables of both papers, row by row."""
