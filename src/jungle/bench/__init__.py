"""Measurements behind the choices: what `jungle bench` runs."""
