"""What the points of a curve cost: the time of all cores that the network takes for a trajectory's
curve, over that for its clip, frames being in memory. CLIP's weights are random, which does not
affect the time."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import torch
from measuring import Row, limited
from networks import s3d

from clip_evaluator import ClipModel, preparation_of, resizing
from trajeval.batches import embed_parts, parts_of
from trajeval.stages import views_for
from trajeval.videos import read_views
from trajeval.views import WHOLE

LENGTH, SIDE = 600, 224  # frames, pixels
MANY = 4


class Options:
    curves, curve_points, window, controls = "prefix", 15, None, False


def rows(folder: Path, quick: bool) -> Iterator[Row]:
    print("curves", file=sys.stderr)
    rounds = 1 if quick else 3
    yield ratio("S3D float32", s3d("float32", "cpu"), 15.5, rounds)
    yield ratio("CLIP ViT-B-32, random weights", random_clip_model(), 3, rounds)


def ratio(name: str, model, limit: float, rounds: int) -> Row:
    video = np.random.default_rng(0).integers(0, 256, (LENGTH, SIDE, SIDE, 3), np.uint8)
    (clip,), (curve,) = (
        read_views([video], [views], model.n_frames, "stretch", SIDE)
        for views in ([WHOLE], views_for(model, Options))
    )
    clip, curve = (list(parts_of(model, "", footage)) for footage in (clip, curve))
    clips = clip * MANY  # at work several at a time, as those of a curve are
    of_clips, of_curve = zip(
        *((cpu_seconds(model, clips), cpu_seconds(model, curve)) for _ in range(rounds + 1))
    )
    once = min(of_clips) / MANY
    what = f"{name}: 15 points, over one clip"
    return limited(what, min(of_curve) / once, limit, "", f"{once:.3g} s/clip")


def cpu_seconds(model, parts: list) -> float:
    start = time.process_time()
    deque(embed_parts(model, iter(parts), None), 0)
    return time.process_time() - start


def random_clip_model(precision: str = "float32", device: str = "cpu") -> ClipModel:
    torch.manual_seed(0)
    network = open_clip.create_model("ViT-B-32")
    model = ClipModel("ViT-B-32", device=device, precision=precision)
    model.facts = {"preparation": preparation_of(network), "weights": "", "files": {}}
    model.resize = resizing(network)
    model.video_network = network.eval().requires_grad_(False).to(device)
    return model
