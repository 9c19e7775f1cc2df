"""Oracles: slow definitions with which the code is compared."""
