"""`python -m jungle <verb> ...`: the `jungle` command without its script."""

import sys

from jungle.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
