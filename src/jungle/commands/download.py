"""`jungle download`: fetch the public files of the Pri-matrix Factorization competition."""

from pathlib import Path

from jungle.config import DownloadConfig, parse_config
from jungle.console import print_result
from jungle.data.download.archives import fetch_primatrix


def main(raw: object) -> None:
    """Fetch the label tables and, if asked, the 64x64 clips; what is there already is not fetched again."""
    cfg = parse_config(DownloadConfig, raw)
    fetch_primatrix(Path(cfg.out), micro=cfg.micro)
    print_result(f"fetched: python train.py data=primatrix_micro data.root={cfg.out}/micro")
