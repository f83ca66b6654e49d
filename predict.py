"""Say what is in every clip: python predict.py ckpt=best.ckpt videos=/clips out=/results."""

import sys

from jungle.cli.entry import run

if __name__ == "__main__":
    sys.exit(run("predict"))
