"""What is on a disk, one row per video file: start reading at `index.py`."""
