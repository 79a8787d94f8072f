"""The networks on a GPU: at each precision and several batch sizes, against the plain network in
float32, eager, of the same batch on the same GPU; how much of the measured rate of bfloat16 matrix
products they reach; runs from files, by the cores that decode them; decoding on the GPU."""

import copy
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from curves import random_clip_model
from decoding import make_trajectories
from measuring import Row, compared, fastest
from networks import AllTokens, at_a_time, random_clip, s3d, viclip
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from whole import cpu_seconds, videos_alone

from trajeval.batches import embed_fresh, is_error, is_out_of_memory, normalized
from trajeval.devices import float32_products, n_cores, split_work
from trajeval.model import Model
from trajeval.sources import source_of
from trajeval.videos import read_clip, sample_indices
from trajeval.views import WHOLE
from viclip_evaluator import MEAN, STD

PRECISIONS = ("float32", "tf32", "bfloat16")
FASTER, OF_PEAK = 5, 0.2  # the aims, of bfloat16
Embed = Callable[[Tensor], Tensor]


class Subject(NamedTuple):
    """load: a model, of a precision and a device. plain: of that model in float32 and a device, the
    network as it is written, and what prepares its input of frames, uint8 [B, T, H, W, 3]."""

    name: str
    load: Callable[[str, str], Model]
    plain: Callable[[Any, str], tuple[Embed, Embed]]


def plain_s3d(model, device: str) -> tuple[Embed, Embed]:
    network = copy.deepcopy(model.network).to(device)
    return (
        lambda video: network(video)["video_embedding"],
        lambda frames: frames.movedim(4, 1).float().div(255).contiguous(),
    )


def plain_viclip(model, device: str) -> tuple[Embed, Embed]:
    encoder = copy.deepcopy(model.network.vision_encoder)
    encoder.transformer = AllTokens(encoder.transformer)
    return encoder.to(device), lambda frames: normalized(frames, MEAN, STD).contiguous()


def plain_clip(model, device: str) -> tuple[Embed, Embed]:
    mean, std = model.preparation["mean"], model.preparation["std"]
    network = copy.deepcopy(model.video_network.visual).to(device)
    return network, lambda frames: normalized(frames.flatten(0, 1), mean, std).contiguous()


SUBJECTS = (
    Subject("S3D", s3d, plain_s3d),
    Subject("ViCLIP-B", partial(viclip, "b"), plain_viclip),
    Subject("ViCLIP-L", partial(viclip, "l"), plain_viclip),
    Subject("CLIP ViT-B-32", random_clip_model, plain_clip),
)


def rows(folder: Path, quick: bool) -> Iterator[Row]:
    print("a GPU", file=sys.stderr)
    batch_sizes, n, rounds = ((8,), 16, 1) if quick else ((1, 8, 32), 256, 5)
    yield from measure(folder, "cuda", SUBJECTS, PRECISIONS, batch_sizes, n, rounds)


def measure(
    folder: Path,
    device: str,
    subjects: Sequence[Subject],
    precisions: Sequence[str],
    batch_sizes: Sequence[int],
    n: int,
    rounds: int,
) -> Iterator[Row]:
    """precisions: float32 and bfloat16 among them. n: trajectories of a run from files."""
    peak = rate_of_products(device, rounds)
    yield Row("bfloat16 matrix products", f"{peak / 1e12:.3g} TFLOP/s")
    listed = make_trajectories(folder / "gpu", n).read_text().splitlines()
    for subject in subjects:
        models = {precision: subject.load(precision, device) for precision in precisions}
        plain, prepare = subject.plain(models["float32"], device)
        least = {}  # seconds a clip in bfloat16, of a batch size
        for batch_size in batch_sizes:
            clips = f"{batch_size} at a time"
            seconds = seconds_of(models, plain, prepare, device, batch_size, rounds)
            if seconds is None:
                yield Row(f"{subject.name}, {clips}", "not enough memory")
                break
            for precision in precisions:
                aim = FASTER if precision == "bfloat16" else None
                what = f"{subject.name} {precision}, {clips}"
                yield in_clips(what, seconds[precision], seconds["plain"], aim)
            least[batch_size] = seconds["bfloat16"]
        if not least:
            continue
        batch_size = min(least, key=least.__getitem__)
        alone, model = least[batch_size], models["bfloat16"]
        reached = operations(model, plain, prepare, device) / alone / peak
        what = f"{subject.name} bfloat16, {batch_size} at a time: of the rate of matrix products"
        yield Row(what, f"{reached:.1%}", "", None, f">= {OF_PEAK:.0%}", reached >= OF_PEAK)
        yield from file_rows(f"{subject.name} bfloat16", model, listed, batch_size, alone)
    yield nvdec_row(listed, device, rounds)


def in_clips(what: str, ours: float, baseline: float, aim: float | None = None) -> Row:
    """A row of two times, of a clip."""
    row = compared(what, ours, baseline, aim)
    return row._replace(ours=f"{1 / ours:.3g} clips/s", baseline=f"{1 / baseline:.3g} clips/s")


def rate_of_products(device: str, rounds: int) -> float:
    """Operations a second."""
    size, n = (8192, 10) if device.startswith("cuda") else (512, 1)
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))

    def multiply():
        for _ in range(n):
            product = a @ b
        product[0, 0].item()  # waits

    return 2 * size**3 / fastest({"": (multiply, n)}, rounds)[""]


def seconds_of(models, plain, prepare, device, batch_size, rounds) -> dict[str, float] | None:
    """What a clip takes in each model, by its precision, and in "plain"; None if out of memory."""
    clip = random_clip(models["float32"].n_frames)
    frames = torch.from_numpy(np.stack([clip.frames] * batch_size)).to(device)

    def with_products(precision, function):
        def call():
            with torch.inference_mode(), float32_products(device, precision):
                function()

        return call

    functions = {}
    for precision, model in models.items():
        function, n = at_a_time(model, clip, *split_work(device), batch_size)
        functions[precision] = with_products(precision, function), n
    try:
        video = prepare(frames)
        functions["plain"] = with_products("float32", lambda: plain(video).cpu()), batch_size
        return fastest(functions, rounds)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def operations(model, plain, prepare, device: str) -> int:
    """Of the plain network, for a clip."""
    frames = torch.from_numpy(random_clip(model.n_frames).frames)[None].to(device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        plain(prepare(frames))
    return counter.get_total_flops()


# --- from files


def file_rows(what, model, paths: list[str], batch_size: int, alone: float) -> Iterator[Row]:
    """Decoding and the network together, against the network alone, by the cores that decode."""
    requests = [(source_of(path), [WHOLE]) for path in paths]
    all_cores = n_cores()
    for cores in sorted({*(2**i for i in range(all_cores.bit_length())), all_cores}):
        with on_cores(cores), closing(embed_fresh(model, requests, batch_size)) as found:
            start = time.perf_counter()
            assert not any(map(is_error, found))
            each = (time.perf_counter() - start) / len(paths)
        yield in_clips(f"{what} from files, decoded by {cores} cores", each, alone)
    decode = cpu_seconds(videos_alone, model, paths) / len(paths)
    told = f"{decode / alone:.3g}, of {decode:.3g} s a video"
    yield Row(f"{what}: cores that feed the network", told)


@contextmanager
def on_cores(n: int) -> Iterator[None]:
    """Within the block, threads that start use only n cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def nvdec_row(paths: list[str], device: str, rounds: int) -> Row:
    """Frames of one video that the GPU decodes, at their own size, against ours of one core."""
    what = "32 frames of a video, decoded by torchcodec"
    try:
        decoder_of = import_module("torchcodec.decoders").VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: FFmpeg is missing
        return Row(what, f"cannot be imported: {str(error).splitlines()[0]}")

    def decode():
        decoder = decoder_of(paths[0], device=device)
        decoder.get_frames_at(sample_indices(len(decoder), 32).tolist()).data[-1].cpu()

    try:
        decode()
    except RuntimeError as error:
        return Row(what, f"fails: {str(error).splitlines()[0]}")
    with on_cores(1):
        ours = partial(read_clip, paths[0], 32)
        seconds = fastest({"ours": (ours, 1), "theirs": (decode, 1)}, rounds)
    return compared(what, seconds["theirs"], seconds["ours"])
