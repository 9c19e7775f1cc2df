"""The commands of vadprobe, one file a group."""
