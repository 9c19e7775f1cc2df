"""Video files to frames: decoding in processes of its own, and what is wrong with a file."""
