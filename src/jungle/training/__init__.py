"""A training run, from its config to the best checkpoint: start reading at `fit.py`."""
