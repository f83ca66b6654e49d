"""The decoders, and from a decoded picture to the array that a model sees."""
