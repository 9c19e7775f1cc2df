"""Commands of vadprobe, each a function whose signature is its options, in one file a group."""
