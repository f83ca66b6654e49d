"""Media files opened, and the frames that they hold, found without decoding: start at `timeline.py`."""
