"""Diagnosis of a machine: each part that vadprobe needs is tried, and a cure named where it fails."""
