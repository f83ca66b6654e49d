"""Smaller copies of clips, and clips written: start reading at `dataset.py`."""
