"""Checkpoints and clips to rows of the predictions table: start reading at `predictor.py`."""
