"""`jungle bench <measurement>`: measure on this machine, print a table, write JSON."""

import argparse
import importlib
from pathlib import Path

from jungle.console import speak
from jungle.errors import UsageError

MOVED = {"heads": "benchmarks/heads.py", "store": "benchmarks/feature_store.py"}


def main(argv: list[str]) -> int:
    """Run one measurement; return the exit code.

    Raises:
        UsageError: the measurement is a script of the source repository now.
    """
    parser = argparse.ArgumentParser(prog="jungle bench", description="Measure on this machine.")
    words = parser.add_subparsers(dest="measurement", required=True)

    decode = words.add_parser("decode", help="decoders and ways to pick frames")
    decode.add_argument("inputs", metavar="files", type=Path, nargs="*", help="clips; default: rendered ones")
    decode.add_argument("--out", type=Path, default=Path("runs/bench/decode"), help="folder")
    decode.add_argument("--repeats", type=int, default=3)

    gpu = words.add_parser("gpu", help="decoding on the GPU and on the CPU: equal frames, clips/s, idle time")
    gpu.add_argument("inputs", metavar="files", type=Path, nargs="*", help="clips; default: rendered ones")
    gpu.add_argument("--out", type=Path, default=Path("runs/bench/gpu"), help="folder")
    gpu.add_argument("--clips", type=int, default=96, help="clips per measurement; files are read repeatedly")
    gpu.add_argument("--workers", type=int, help="decoding processes; default: by the number of cores")
    gpu.add_argument("--device", default="cuda:0", help="which GPU")

    train = words.add_parser("train", help="training: real and synthetic clips, the loader alone; a head")
    train.add_argument(
        "inputs", metavar="settings", nargs="*", help="as of jungle train: model=finetune data=csv"
    )
    train.add_argument("--out", type=Path, default=Path("runs/bench/train"), help="folder")
    train.add_argument("--steps", type=int, default=20, help="measured steps")
    train.add_argument("--warmup", type=int, default=4, help="steps before them")

    plan = words.add_parser("plan", help="cost of a whole competition: disk, memory, hours of each stage")
    plan.add_argument(
        "inputs", metavar="files", type=Path, nargs="*", help="clips to decode; default: a rendered one"
    )
    plan.add_argument("--out", type=Path, default=Path("runs/bench/plan"), help="folder; takes 6 GB")
    plan.add_argument("--clips", type=int, default=291_615, help="clips to extract features of")
    plan.add_argument("--trained", type=int, default=200_000, help="clips that have labels")
    plan.add_argument("--seconds", type=float, default=20, help="duration of decoding, and of each backbone")
    plan.add_argument("--steps", type=int, default=100, help="measured steps of a head's training")
    plan.add_argument("--device", default="auto", help="where backbones run: cpu, cuda:0")

    if argv and argv[0] in MOVED:
        others = ", ".join(f"jungle bench {word}" for word in words.choices)
        raise UsageError(
            f"unknown: jungle bench {argv[0]}; use python {MOVED[argv[0]]} in the source repository, "
            f"or {others}"
        )
    args = vars(parser.parse_args(argv))
    speak()
    word, out, inputs = args.pop("measurement"), args.pop("out"), args.pop("inputs")
    module = importlib.import_module(f"jungle.bench.{word}")  # here: --help needs no torch
    getattr(module, f"bench_{word}")(out, inputs, **args)
    return 0
