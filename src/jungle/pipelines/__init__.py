"""Recipes and sweeps: several training runs by one command."""
