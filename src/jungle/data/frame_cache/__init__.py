"""Decoded clips kept on disk between epochs: start reading at `cache.py`."""
