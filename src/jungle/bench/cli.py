"""`jungle bench <what>`: measure on this machine, print a table, write JSON."""

import argparse
from pathlib import Path

from jungle.bench.heads import bench_heads
from jungle.console import speak


def main(argv: list[str]) -> int:
    """Run one benchmark; return the exit code."""
    about = "Measure on this machine."
    parser = argparse.ArgumentParser(prog="jungle bench", description=about)
    what = parser.add_subparsers(dest="what", required=True)
    store = what.add_parser("store", help="ways of keeping features; others need the [bench] extra")
    store.add_argument("--out", type=Path, default=Path("runs/bench/store"), help="folder")
    store.add_argument("--clips", type=int, default=3000)
    store.add_argument("--frames", type=int, default=45)
    store.add_argument("--dim", type=int, default=3840)
    store.add_argument("--formats", nargs="+", help="shards lance zarr zarr_sharded; default: all")
    decode = what.add_parser("decode", help="decoders and ways to pick frames")
    decode.add_argument("files", type=Path, nargs="*", help="clips; rendered ones if not given")
    decode.add_argument("--out", type=Path, default=Path("runs/bench/decode"), help="folder")
    decode.add_argument("--repeats", type=int, default=3)
    heads = what.add_parser("heads", help="every head on the stored features of a data set")
    heads.add_argument("settings", nargs="*", help="as of jungle train: data=csv data.root=/clips ...")
    heads.add_argument("--out", type=Path, default=Path("runs/bench/heads"), help="folder")
    heads.add_argument("--heads", nargs="+", default=[], help="as in mean 'attention head.score=tanh'")
    heads.add_argument("--seeds", type=int, default=3)
    gpu = what.add_parser("gpu", help="decoding on the GPU beside the CPU: right frames, clips/s, idle time")
    gpu.add_argument("files", type=Path, nargs="*", help="clips; rendered ones if not given")
    gpu.add_argument("--out", type=Path, default=Path("runs/bench/gpu"), help="folder")
    gpu.add_argument(
        "--clips", type=int, default=96, help="clips a measurement; files are read again and again"
    )
    gpu.add_argument("--workers", type=int, help="decoding processes; default: by the number of cores")
    gpu.add_argument("--device", default="cuda:0", help="which GPU")
    train = what.add_parser("train", help="training: real and synthetic clips, the loader alone; a head")
    train.add_argument("settings", nargs="*", help="as of jungle train: model=finetune data=csv ...")
    train.add_argument("--out", type=Path, default=Path("runs/bench/train"), help="folder")
    train.add_argument("--steps", type=int, default=20, help="steps that count")
    train.add_argument("--warmup", type=int, default=4, help="steps before them")
    plan = what.add_parser(
        "plan", help="what a whole competition costs here: disk, memory, hours of each stage"
    )
    plan.add_argument("files", type=Path, nargs="*", help="clips to decode; a rendered one if not given")
    plan.add_argument("--out", type=Path, default=Path("runs/bench/plan"), help="folder; takes 6 GB")
    plan.add_argument("--clips", type=int, default=291_615, help="to extract features of")
    plan.add_argument("--trained", type=int, default=200_000, help="clips that have labels")
    plan.add_argument("--seconds", type=float, default=20, help="of decoding, and of each backbone")
    plan.add_argument("--steps", type=int, default=100, help="of a head's training")
    plan.add_argument("--device", default="auto", help="where backbones run: cpu, cuda:0")
    args = parser.parse_args(argv)
    speak()
    if args.what == "plan":
        from jungle.bench.plan import bench_plan

        bench_plan(
            args.out,
            args.files,
            clips=args.clips,
            trained=args.trained,
            seconds=args.seconds,
            steps=args.steps,
            device=args.device,
        )
        return 0
    if args.what == "train":
        from jungle.bench.train import bench_train

        bench_train(args.out, args.settings, steps=args.steps, warmup=args.warmup)
        return 0
    if args.what == "heads":
        bench_heads(args.out, args.settings, heads=args.heads, seeds=args.seeds)
        return 0
    if args.what == "gpu":
        from jungle.bench.gpu import bench_gpu

        bench_gpu(args.out, args.files, clips=args.clips, workers=args.workers, device=args.device)
        return 0
    if args.what == "decode":
        from jungle.bench.decode import bench_decode

        bench_decode(args.out, args.files, repeats=args.repeats)
        return 0
    from jungle.bench.store import bench_store

    options = {"formats": args.formats} if args.formats else {}
    bench_store(args.out, args.clips, args.frames, args.dim, **options)
    return 0
