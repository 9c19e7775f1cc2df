"""Texts that a loaded backbone generates about clips: greedy or drawn, with the mass of words, and of events."""
