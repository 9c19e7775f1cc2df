"""Transfer of stores: pulling, pushing, compacting, exporting and importing."""
