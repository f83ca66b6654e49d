"""Which frames of a clip are read."""
