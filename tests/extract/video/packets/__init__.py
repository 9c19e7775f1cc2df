"""Tests of what a container lists."""
