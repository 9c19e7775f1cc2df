"""Stores to and from elsewhere: pulled, compacted, exported, imported."""
