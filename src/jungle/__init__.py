"""Jungle: train and run classifiers on camera-trap video."""

__version__ = "0.2.0"
