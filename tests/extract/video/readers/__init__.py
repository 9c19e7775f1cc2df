"""Tests of the readers of open videos."""
