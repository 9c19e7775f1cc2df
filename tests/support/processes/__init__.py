"""Processes that tests start: programs, clusters, servers."""
