"""Frames from files, folders, standard input and live streams, all behind one protocol."""
