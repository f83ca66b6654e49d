"""Ensembles: predictions of several models, second-level models on them, and their evaluation."""
