"""Files and folders in any place: paths, atomic writes, locks, digests, names."""
