"""Templates, style and script of the page, in small parts that are joined when the page is written."""
