"""Tests of results: what is measured and written beside them."""
