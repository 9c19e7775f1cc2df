"""What a container lists before anything is decoded: packets, their clock, and where either breaks."""
