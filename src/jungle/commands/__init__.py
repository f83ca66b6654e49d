"""One file a verb: a checked config in, the rooms below called, result lines out."""
