"""Predictions in other people's formats."""
