"""Texts that a loaded backbone generates about clips: explanations of events, and texts with the mass of some words."""
