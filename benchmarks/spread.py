"""Several workers on Ray: what they cost on one machine, and whether more of them are faster in
proportion, where each clip takes a fixed time. See docs/scale.md.

    python benchmarks/spread.py overhead|nodes|driver
"""

import json
import os
import sys
import time
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from make_videos import write_video
from standin import Standin

from s3d_evaluator import S3DModel
from trajeval.cluster import STORE, Crew, connected, places_of
from trajeval.embedding import compute_here
from trajeval.sources import Source
from trajeval.views import WHOLE
from trajeval.workers import recipe_of

ROOT = Path(__file__).parent.parent
OPTIONS = {
    **{"device": "cpu", "cache_dir": None, "cache_size": 1.0, "verbose": True, "n_frames": 4},
    **{"seconds": 0.5, "size": 112, "precision": "auto"},
    "model_checkpoint_path": str(ROOT / "checkpoints/s3d_cheetah_demo.safetensors"),
    "dict_path": str(ROOT / "checkpoints/s3d_cheetah_demo_dict.npy"),
}


def requests_of(folder: str, count: int) -> list[tuple]:
    """Different small clips: 30 frames of 128x128."""
    rng, made = np.random.default_rng(0), []
    for i in range(count):
        path = Path(folder, f"{i}.mp4")
        if i < 32:
            write_video(path, rng.integers(0, 256, (30, 128, 128, 3), np.uint8))
        else:
            os.link(Path(folder, f"{i % 32}.mp4"), path)
        made.append((Source(path), {WHOLE: [None]}))
    return made


def timed_on_ray(model_class, requests, address: str | None) -> tuple[int, float, float]:
    """How many workers there were, the seconds until all were ready, and those of the work."""
    args = Namespace(**OPTIONS, ray=address)
    model = model_class(device="cpu", n_frames=4, **settings_of(model_class))
    begin = time.perf_counter()
    with connected(args):
        places, recipe = places_of(model, args), recipe_of(model, args)
        crew = Crew(model, requests, len(requests), None, lambda: places, recipe, print)
        for job in crew.jobs:
            crew.take(job)
        start = time.perf_counter()
        assert len(list(crew.answers())) == len(requests)
        return len(places), start - begin, time.perf_counter() - start


def settings_of(model_class) -> dict:
    names = ("model_checkpoint_path", "dict_path", "size")
    return {name: OPTIONS[name] for name in names} if model_class is S3DModel else {}


def overhead(folder: str) -> list[dict]:
    """Workers on all cores against threads of one process, in turns."""
    rows, requests = [], requests_of(folder, 256)
    for _ in range(2):
        model = S3DModel(device="cpu", n_frames=4, **settings_of(S3DModel))
        _ = model.video_network
        start = time.perf_counter()
        assert len(list(compute_here(model, requests, None))) == len(requests)
        threads = time.perf_counter() - start
        workers, ready, took = timed_on_ray(S3DModel, requests, None)
        rows.append({"workers": workers, "ready": ready, "threads": threads, "ray": took})
        rows[-1]["ratio"] = threads / took
    return rows


def nodes(folder: str) -> list[dict]:
    """1 to 8 nodes of one worker each, with 40 clips of 0.5 s for each."""
    from ray.cluster_utils import Cluster

    rows = []
    requests = requests_of(folder, 8 * 40)
    for count in (1, 2, 4, 8):
        head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        cluster.wait_for_nodes()
        workers, ready, took = timed_on_ray(Standin, requests[: 40 * count], cluster.address)
        cluster.shutdown()
        rows.append({"nodes": workers, "ready": ready, "ray": took})
        rows[-1]["efficiency"] = 40 * OPTIONS["seconds"] / took
    return rows


def driver(folder: str) -> list[dict]:
    """What an answer costs the process that sends the work, in milliseconds of a core."""
    OPTIONS["seconds"] = 0.0
    requests = requests_of(folder, 2000)
    before = time.process_time()
    timed_on_ray(Standin, requests[:2], None)
    start = time.process_time()
    workers, ready, took = timed_on_ray(Standin, requests, None)
    cost = (time.process_time() - start) - (start - before)
    return [{"workers": workers, "ready": ready, "ray": took, "per_answer": 1000 * cost / 2000}]


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        for row in {"overhead": overhead, "nodes": nodes, "driver": driver}[sys.argv[1]](folder):
            print(json.dumps({k: round(v, 3) for k, v in row.items()}))
