"""What the demo needs: generated surveillance videos and a tiny backbone."""
