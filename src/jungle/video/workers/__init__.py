"""Clips decoded in processes that can be timed out and replaced: start reading at `decode_pool.py`."""
