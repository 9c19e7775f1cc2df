"""Templates, style and script of the page, in small parts that are joined when it is written."""
