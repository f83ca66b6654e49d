"""Settings given as `auto`, found by short trials before training: start reading at `search.py`."""
