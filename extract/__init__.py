"""Stage 1: video files to features of a frozen backbone."""
