"""Verification of every byte of a store, and repair of damaged parts."""
