"""Experiments of several stages, by one command."""
