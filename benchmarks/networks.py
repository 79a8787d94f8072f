"""The networks against their plain versions: float32, eager, contiguous, one clip at a time on all
cores."""

import copy
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import ROOT, Row, compared, fastest, limited
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from s3d_evaluator import DEMO, S3DModel
from s3dg import STConv3D
from s3dg_inference import Convolutions, MaxPool, halve
from trajeval.batches import Part, embed_batch, normalized, threads_of
from trajeval.devices import n_cores, split_work
from trajeval.videos import Clip
from viclip import ViCLIP
from viclip_evaluator import MEAN, STD, ViCLIPModel

SIDE = 224


def rows(folder: Path, quick: bool) -> Iterator[Row]:
    print("networks", file=sys.stderr)
    torch.manual_seed(0)
    yield from s3d_rows(quick)
    for size in "b" if quick else "bl":
        yield from viclip_rows(size, quick)


# --- S3D


def s3d_rows(quick: bool) -> Iterator[Row]:
    clip = random_clip(32)
    video = as_float(clip)
    model = s3d("float32", "cpu")
    plain = model.network
    folded = fold_all(copy.deepcopy(plain))
    steps = {
        "channels last": plain,
        "batch norm folded too": folded,
        "pooling a dimension at a time too": pool_by_dimension(copy.deepcopy(folded)),
        "convolutions in two dimensions too": in_two_dimensions(
            pool_by_dimension(copy.deepcopy(plain))
        ),
    }
    steps = {name: partial(weights_last(network), last(video)) for name, network in steps.items()}
    steps["scaled, gated and joined in place too: all"] = partial(
        model.video_network, torch.from_numpy(clip.frames)[None]
    )
    rounds = 1 if quick else 5
    with torch.inference_mode():
        seconds = fastest(
            {"plain": (partial(plain, video), 1)}
            | {name: (step, 1) for name, step in steps.items()}
            | {
                f"all, {b} at a time with {t} threads each": at_a_time(model, clip, b, t)
                for b, t in splits()
            },
            rounds,
        )
        expected, got = plain(video)["video_embedding"], embed(model, clip)
    baseline = seconds.pop("plain")
    chosen = "all, {} at a time with {} threads each".format(*split_work("cpu"))
    for name, value in seconds.items():
        aim = 2.2 if name == chosen else None
        yield compared(f"S3D float32: {name}", value, baseline, aim, "s/clip")
    error = np.abs(got - expected.numpy()).max() / expected.abs().max().item()
    yield limited("S3D float32: difference, of the largest value", error, 1e-4, "")
    if has_bfloat16():
        yield from bfloat16_rows("S3D", s3d("bfloat16", "cpu"), model, baseline, 5.5, rounds)


def s3d(precision: str, device: str) -> S3DModel:
    paths = (ROOT / DEMO["model_checkpoint_path"], ROOT / DEMO["dict_path"])
    return S3DModel.load(*paths, device=device, precision=precision)


def weights_last(network: nn.Module) -> nn.Module:
    """A copy with the weights of its convolutions in the order of channels-last clips."""
    network = copy.deepcopy(network)
    for value in network.parameters():
        if value.ndim == 5:
            value.data = last(value.data)
    return network


def fold_all(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, STConv3D):
            module.conv1 = fuse_conv_bn_eval(module.conv1, module.bn1)
            module.bn1 = nn.Identity()
            if module.separable:
                module.conv2 = fuse_conv_bn_eval(module.conv2, module.bn2)
                module.bn2 = nn.Identity()
    return network


class ChannelsFirst(nn.Module):
    """A module for [B, T, H, W, C] in a network of [B, C, T, H, W]; nothing is copied."""

    def __init__(self, *modules):
        super().__init__()
        self.inside = nn.Sequential(*modules)

    def forward(self, x):
        return self.inside(x.movedim(1, 4)).movedim(4, 1)


class Halve(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.sizes = sizes

    def forward(self, x):
        for dim, size in enumerate(self.sizes, 1):
            x = x if size == 1 else halve(x, dim, size)
        return x


def pool_by_dimension(network: nn.Module) -> nn.Module:
    for name, module in list(network.named_modules()):
        if name.startswith("maxpool"):
            setattr(network, name, ChannelsFirst(Halve(*module.kernel_size)))
        elif hasattr(module, "maxpool_b3"):
            module.maxpool_b3 = ChannelsFirst(MaxPool())
    return network


def in_two_dimensions(network: nn.Module) -> nn.Module:
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, STConv3D) and module is not network.conv1:
                setattr(parent, name, ChannelsFirst(Convolutions(module)))
    fold_all(network)
    return network


# --- ViCLIP


class AllTokens(nn.Module):
    """The transformer without its shortcut: the last block computes all tokens."""

    def __init__(self, transformer):
        super().__init__()
        self.resblocks = transformer.resblocks

    def forward(self, x, n):
        for block in self.resblocks:
            x = block(x, causal=False)
        return x


def viclip_rows(size: str, quick: bool) -> Iterator[Row]:
    clip = random_clip(8)
    model = viclip(size, "float32")
    plain = copy.deepcopy(model.network.vision_encoder)
    plain.transformer = AllTokens(plain.transformer)
    video = normalized(torch.from_numpy(clip.frames)[None], MEAN, STD).contiguous()
    rounds = 1 if quick else 3
    with torch.inference_mode():
        seconds = fastest(
            {
                "plain": (partial(plain, video), 1),
                "ours": at_a_time(model, clip, *split_work("cpu")),
            },
            rounds,
        )
        expected, got = plain(video).numpy(), embed(model, clip)
    name = f"ViCLIP-{size.upper()} float32"
    yield compared(name, seconds["ours"], seconds["plain"], 1.3, "s/clip")
    error = np.abs(got - expected).max() / np.abs(expected).max()
    yield limited(f"{name}: difference, of the largest value", error, 1e-4, "")
    if has_bfloat16():
        low = viclip(size, "bfloat16")
        yield from bfloat16_rows(f"ViCLIP-{size.upper()}", low, model, seconds["plain"], 3, rounds)


def viclip(size: str, precision: str, device: str = "cpu") -> ViCLIPModel:
    """Made-up weights, the same each time: their values do not affect the time."""
    torch.manual_seed(0)
    model = ViCLIPModel(model_size=size, device=device, precision=precision)
    network = ViCLIP(size)
    for name, value in network.named_parameters():
        scale = 1 if "embedding" in name else (value.shape[-1] if value.ndim > 1 else 1) ** -0.5
        value.data.normal_(1 if ".ln_" in name and "weight" in name else 0, 0.3 * scale)
    model.network = network.eval().requires_grad_(False)  # in place of what would be loaded
    return model


# --- shared


def random_clip(n_frames: int) -> Clip:
    frames = np.random.default_rng(0).integers(0, 256, (n_frames, SIDE, SIDE, 3), np.uint8)
    numbers = np.arange(n_frames)
    return Clip(frames, numbers, numbers / 30, n_frames, None, (SIDE, SIDE), None)


def as_float(clip: Clip) -> torch.Tensor:
    """[1, 3, T, H, W] in [0, 1], contiguous."""
    return torch.from_numpy(clip.frames).movedim(3, 0)[None].float().div(255).contiguous()


def last(video: torch.Tensor) -> torch.Tensor:
    return video.contiguous(memory_format=torch.channels_last_3d)


def embed(model, *clips) -> np.ndarray:
    """The embeddings as evaluators compute them, [B, D]."""
    return np.stack(embed_batch(model, [part_of(clip) for clip in clips]))


def part_of(clip: Clip) -> Part:
    """A clip as a batch has it."""
    return Part("", clip.frames, np.arange(len(clip.frames)), clip.times)


def splits() -> list[tuple[int, int]]:
    """Ways to share the cores: one clip on all of them, one on each, and in between."""
    return sorted({(n, n_cores() // n) for n in (1, 2, 4, n_cores()) if n <= n_cores()})


def at_a_time(model, clip: Clip, batches: int, threads: int, batch_size: int = 1):
    """A function that embeds clips as evaluators do, and how many clips it embeds. It raises
    MemoryError."""
    pool = threads_of(model, batches, threads)
    batch = [part_of(clip)] * batch_size

    def function():
        found = [pool.submit(embed_batch, model, batch) for _ in range(2 * batches)]
        if any(done.result() is None for done in found):
            raise MemoryError

    return function, 2 * batches * batch_size


def has_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(f in flags.read_text() for f in ("avx512_bf16", "amx_bf16"))


def bfloat16_rows(name, model, exact, baseline, aim, rounds) -> Iterator[Row]:
    clip = random_clip(model.n_frames)
    (seconds,) = fastest({"": at_a_time(model, clip, *split_work("cpu"))}, rounds).values()
    yield compared(f"{name} bfloat16", seconds, baseline, aim, "s/clip")
    a, b = (embed(network, clip)[0].astype(np.float64) for network in (model, exact))
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    yield limited(f"{name} bfloat16: 1 - cosine with float32", 1 - cosine, 0.005, "")
