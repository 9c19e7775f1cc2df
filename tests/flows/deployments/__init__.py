"""Tests of what a job's deployments are."""
