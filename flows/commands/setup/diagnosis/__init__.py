"""Diagnosis of a machine: each part that vadprobe needs is tried, with what to do where it fails."""
