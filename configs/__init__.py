"""Presets of both methods, one TOML file each."""
