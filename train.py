"""Train a classifier on labelled clips: python train.py data=csv data.labels=labels.csv data.root=/clips."""

import sys

from jungle.cli.entry import run

if __name__ == "__main__":
    sys.exit(run("train"))
