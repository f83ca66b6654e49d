"""How good predictions are, and how far to trust them: scores, intervals, calibration, blank removal."""
