"""A run over many trajectories whose embeddings are in the cache: time, memory, size on disk.

    python benchmarks/large.py [--each PARTS] [--keep FOLDER] [COUNT ...]

Trajectories are parts of small videos, 100 of each (--each 1: files of their own), by 100 prompts
in 20 groups. Their embeddings are made up: a direction for each group, and noise.
"""

import argparse
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from make_videos import write_video
from measuring import ROOT, Finished, run

from s3d_evaluator import S3DModel
from trajeval.cache import Cache
from trajeval.contents import Contents
from trajeval.embedding import source_key, video_key
from trajeval.sources import Source

GROUPS, PHRASINGS, SIZE = 20, 5, 512
WEIGHTS = {
    "model_checkpoint_path": "checkpoints/s3d_cheetah_demo.safetensors",
    "dict_path": "checkpoints/s3d_cheetah_demo_dict.npy",
}
SETTINGS = {"device": "cpu", "precision": "float32", "n_frames": 32, "size": 112}
GIB = 1 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--each", type=int, default=100, help="parts of a video (default: 100)")
    parser.add_argument("--keep", help="a folder in which everything stays")
    args = parser.parse_args()
    print("| trajectories | run | of a processor | each | peak memory | results | cache |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for count in args.counts:
        folder = Path(args.keep or mkdtemp(), str(count))
        try:
            prepare(folder, count, args.each)
            done = evaluate(folder)
        finally:
            if not args.keep:
                shutil.rmtree(folder.parent)
        if done.status:
            print(done.stderr[-2000:], file=sys.stderr)
            return 1
        each = f"{1e6 * done.cpu_seconds / count:.0f} us"
        sizes = (f"{size_of(folder / name) / GIB:.2f} GiB" for name in ("out", "cache"))
        print(
            f"| {count:,} | {done.seconds:.1f} s | {done.cpu_seconds:.1f} s | {each} "
            f"| {done.peak / GIB:.2f} GiB | {' | '.join(sizes)} |",
            flush=True,
        )
    return 0


def prepare(folder: Path, count: int, each: int) -> None:
    """Lists, videos, and the cache with what the model would have made of them. What is there
    already stays."""
    if (folder / "p.txt").exists():
        return
    (folder / "videos").mkdir(parents=True)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(GROUPS, SIZE))
    cache = Cache(folder / "cache", 1 << 40)
    contents, key = Contents(cache), video_key(S3DModel(**SETTINGS, **WEIGHTS, cache=cache))
    lines = []
    for i in range(count):
        group = GROUPS * i // count
        if i % each == 0:
            path = video(folder, i // each)
        source = Source(str(path), *((float(i % each), i % each + 1.0) if each > 1 else ()))
        entry = {
            "embedding": (directions[group] + 8 * rng.normal(size=SIZE)).astype(np.float32),
            **{"indices": list(range(0, 128, 4)), "length": 128, "size": [64, 64]},
            **{"fps": 30.0, "warning": None},
        }
        cache.put("videos", key | source_key(source, contents.of(source)), entry)
        if GROUPS * i // count != GROUPS * (i - 1) // count:
            lines.append(f"[behaviour {group}]")
        lines.append(source.name)
    (folder / "t.txt").write_text("\n".join(lines))
    (folder / "p.txt").write_text("\n".join(prompt_lines()))


def video(folder: Path, number: int) -> Path:
    """A video of its own content: a small one, and its number behind its end."""
    first, path = folder / "first.mp4", folder / "videos" / f"episode_{number:06}.mp4"
    if not first.exists():
        write_video(first, np.zeros((30, 64, 64, 3), np.uint8))
    path.write_bytes(first.read_bytes() + b"\0\0\0\x10free" + number.to_bytes(8))
    return path


def prompt_lines():
    words = ("walks", "runs", "jumps", "crawls", "turns")
    for group in range(GROUPS):
        yield f"[behaviour {group}]"
        yield from (f"a cheetah {words[i]} in the way {group}" for i in range(PHRASINGS))


def evaluate(folder: Path) -> Finished:
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    weights = [f"--{name.replace('_', '-')}={ROOT / value}" for name, value in WEIGHTS.items()]
    lists = ["-t", folder / "t.txt", "-p", folder / "p.txt", "-e", "large", "-o", folder / "out"]
    cache = ["--cache-dir", folder / "cache", "--cache-size", "1000"]
    return run(ROOT / "s3d_evaluator.py", *lists, *cache, *settings, *weights)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
