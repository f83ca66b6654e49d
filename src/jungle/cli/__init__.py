"""From a command line to one command and its exit code: start reading at `main.py`."""
