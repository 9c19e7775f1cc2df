"""Commands that measure on finished stores what the papers measured, and draw it."""
