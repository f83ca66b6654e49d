"""What a Python program imports from `jungle`."""
