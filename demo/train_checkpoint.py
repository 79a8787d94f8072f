"""Trains the demo checkpoint: S3D from scratch on renders of one cheetah, against captions.

    uv run --extra demo demo/train_checkpoint.py               # render, train, save, evaluate
    uv run --extra demo demo/train_checkpoint.py --evaluate    # only evaluate what is shipped

Writes checkpoints/s3d_cheetah_demo.safetensors (float16), its dictionary, and
prompts/cheetah_prompts.txt. The renders (about 4.8 GB) are kept in --renders and used again.
"""

import argparse
import math
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for s3dg.py
os.environ.setdefault("LP_NUM_THREADS", "1")  # software rendering: one thread for each process

import av
import numpy as np
import torch
import torch.nn.functional as F
from behaviours import BEHAVIOURS, TAKES, clip_name
from captions import PHRASES, PROMPTS, caption, dictionary, prompt_list, prompts
from safetensors.torch import load_file, save_file
from torch import nn

from s3dg import S3D

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "checkpoints/s3d_cheetah_demo.safetensors"
DICTIONARY = ROOT / "checkpoints/s3d_cheetah_demo_dict.npy"
N_FRAMES, SIZE = 32, 112
SMALL = 80  # pixels for the first 70 % of the training: a step takes half the time
TRAIN_SEED, HELD_OUT_SEED = 1_000_000, 5_000_000  # clip j of behaviour i has seed + 10_000 * i + j
CAPTIONS_EACH = 4  # of each behaviour, in one batch
TEMPERATURE = 0.07


def render(behaviour, seed, n_clips, path):
    """Renders sampled frames into a .npy file: uint8 [n_clips, 32, 112, 112, 3]."""
    from render_trajectories import Stage

    stage = Stage(2 * SIZE)  # averaged over 2 by 2 pixels: as smooth as a scaled-down video
    clips = np.empty((n_clips, N_FRAMES, SIZE, SIZE, 3), np.uint8)
    for j in range(n_clips):
        frames = stage.clip(behaviour, seed + j, N_FRAMES)
        clips[j] = frames.reshape(N_FRAMES, SIZE, 2, SIZE, 2, 3).mean((2, 4)).round()
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.save(file, clips)
    part.rename(path)


def load_renders(folder, name, seed, n_clips):
    """Loads the rendered clips, and renders those that are missing.

    Returns uint8 [12 * n_clips, 32, 112, 112, 3], behaviour after behaviour.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}_{n_clips}_{behaviour}.npy" for behaviour in BEHAVIOURS]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        jobs = [
            pool.submit(render, behaviour, seed + 10_000 * i, n_clips, path)
            for i, (behaviour, path) in enumerate(zip(BEHAVIOURS, paths))
            if not path.exists()
        ]
        for job in jobs:
            job.result()
    return np.concatenate([np.load(path) for path in paths])


def to_video(clips):
    """uint8 [B, T, H, W, 3] -> float32 [B, 3, T, H, W] in [0, 1]."""
    return torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float().div(255)


def augment(video, rng):
    """Mirrors, shifts and tints each clip as a whole. video: float [B, 3, T, H, W] in [0, 1]."""
    size, shift = video.shape[-1], video.shape[-1] // 18
    padded = F.pad(video, (shift, shift, shift, shift, 0, 0), mode="replicate")
    for i in range(len(video)):
        y, x = rng.integers(0, 2 * shift + 1, 2)
        clip = padded[i, :, :, y : y + size, x : x + size]
        clip = clip.flip(-1) if rng.random() < 0.5 else clip
        contrast = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, (3, 1, 1, 1))
        video[i] = (clip - 0.5) * torch.from_numpy(contrast) + 0.5 + rng.uniform(-0.1, 0.1)
    return video.clamp(0, 1)


def contrastive_loss(videos, texts, same):
    """InfoNCE with several positives, from videos to texts and from texts to videos.

    videos [B, 512], texts [P, 512], same: bool [B, P], true where a text describes a video.
    """
    logits = F.normalize(videos, dim=1) @ F.normalize(texts, dim=1).T / TEMPERATURE  # [B, P]
    loss = 0
    for dim in (0, 1):
        of_positives = (logits.log_softmax(dim) * same).sum(dim) / same.sum(dim)
        loss = loss - of_positives.mean() / 2
    return loss


def new_network(seed):
    torch.manual_seed(seed)
    net = S3D(DICTIONARY, 512)
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    return net


def learning_rate(progress):
    """A short linear warm-up, then a cosine decay. progress: 0 at the start, 1 at the end."""
    return 1e-3 * min(progress / 0.05, 1) * (1 + math.cos(math.pi * progress)) / 2


def train(net, clips, minutes):
    """Trains for a fixed time; saves after every epoch and at the end.

    clips: uint8 [12 * n, 32, 112, 112, 3], behaviour after behaviour.
    """
    behaviours = list(BEHAVIOURS)
    n_each = len(clips) // len(behaviours)
    rng, words = np.random.default_rng(0), random.Random(0)
    net = net.train().to(memory_format=torch.channels_last_3d)  # twice as fast on a CPU
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ]
    )
    text_of = np.repeat(np.arange(len(behaviours)), CAPTIONS_EACH)
    same = torch.from_numpy(np.arange(len(behaviours))[:, None] == text_of)  # [12, 48]

    start, losses, progress = time.time(), [], 0.0
    while progress < 1:
        step = len(losses) % n_each
        if step == 0:  # a new epoch: each batch has one clip of each behaviour
            first = np.arange(0, len(clips), n_each)[:, None]
            order = first + np.stack([rng.permutation(n_each) for _ in behaviours])  # [12, n]
            save(net)
        progress = min((time.time() - start) / (60 * minutes), 1)
        size = SMALL if progress < 0.7 else SIZE
        video = to_video(clips[order[:, step]])  # [12, 3, 32, 112, 112]
        video = F.interpolate(video, (N_FRAMES, size, size), mode="trilinear")
        video = augment(video, rng).to(memory_format=torch.channels_last_3d)
        sentences = [caption(words, words.choice(PHRASES[behaviours[i]])) for i in text_of]
        texts = net.text_module(sentences)["text_embedding"]  # [48, 512]
        loss = contrastive_loss(net(video)["video_embedding"], texts, same)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 25 == 0:
            print(
                f"step {len(losses)} ({progress:.0%} of {minutes:g} minutes, {size} pixels): "
                f"loss {np.mean(losses[-25:]):.3f}",
                flush=True,
            )
    save(net)


def save(net):
    """float16 halves the file; the counters of batch norm stay int64."""
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }
    save_file({name: value.contiguous() for name, value in state.items()}, WEIGHTS)


def load_network():
    """The shipped file, in float32."""
    net = S3D(DICTIONARY, 512)
    net.load_state_dict(load_file(WEIGHTS))
    return net.eval()


@torch.inference_mode()
def embed(net, clips):
    """uint8 [N, 32, 112, 112, 3] -> [N, 512]"""
    batches = [to_video(clips[i : i + 4]) for i in range(0, len(clips), 4)]
    return torch.cat([net(batch)["video_embedding"] for batch in batches])


@torch.inference_mode()
def similarities(net, videos, sentences):
    """[N, 512] and P sentences -> cosine similarities, float32 [N, P]."""
    texts = net.text_module(sentences)["text_embedding"]
    return (F.normalize(videos, dim=1) @ F.normalize(texts, dim=1).T).numpy()


def read_clip(path):
    """32 frames of a shipped clip, as the evaluator samples them: uint8 [32, 112, 112, 3]."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    wanted = [frames[i * len(frames) // N_FRAMES] for i in range(N_FRAMES)]
    size = {"width": SIZE, "height": SIZE, "interpolation": "BICUBIC"}
    return np.stack([frame.to_ndarray(format="rgb24", **size) for frame in wanted])


def evaluate(held_out):
    """Prints, as Markdown, how often the prompt of the right behaviour ranks first."""
    net = load_network()
    behaviours = list(BEHAVIOURS)
    n_each = len(held_out) // len(behaviours)
    answer, videos = np.repeat(np.arange(len(behaviours)), n_each), embed(net, held_out)
    for k, subject in enumerate(("a cheetah", "the robot", "an animal")):
        sentences = prompts(subject, k)
        best = similarities(net, videos, sentences).argmax(1)
        print(
            f"\n{(best == answer).sum()} of {len(answer)} held-out renders right "
            f'({(best == answer).mean():.1%}) with prompts like "{sentences[0]}"\n'
        )
        print("| behaviour | prompt | right | instead |\n| --- | --- | ---: | --- |")
        for i, behaviour in enumerate(behaviours):
            votes = np.bincount(best[answer == i], minlength=len(behaviours))
            others = [j for j in votes.argsort()[::-1] if j != i and votes[j]]
            wrong = ", ".join(f"{behaviours[j]} {votes[j]}" for j in others)
            print(f"| {behaviour} | {sentences[i]} | {votes[i]} of {n_each} | {wrong} |")
    names = [clip_name(behaviour, take) for take in range(1, TAKES + 1) for behaviour in behaviours]
    shipped = np.stack([read_clip(ROOT / "trajectories" / name) for name in names])
    best = similarities(net, embed(net, shipped), PROMPTS).argmax(1).reshape(TAKES, -1)
    n_right = (best == np.arange(len(behaviours))).sum(1)
    print(f"\nshipped clips, take by take: {n_right.tolist()} of {len(behaviours)} right")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, default = parser.add_argument, "(default: %(default)s)"
    renders = Path(tempfile.gettempdir()) / "s3d_cheetah_renders"
    add("--evaluate", action="store_true", help="evaluate the shipped checkpoint, do not train")
    add("--renders", type=Path, default=renders, help=f"folder for rendered frames {default}")
    add("--clips", type=int, default=300, help=f"training clips of each behaviour {default}")
    add("--minutes", type=float, default=75, help=f"how long to train {default}")
    args = parser.parse_args()

    held_out = load_renders(args.renders, "held_out", HELD_OUT_SEED, 30)
    if not args.evaluate:
        clips = load_renders(args.renders, "train", TRAIN_SEED, args.clips)
        for path in (DICTIONARY, ROOT / "prompts/cheetah_prompts.txt"):
            path.parent.mkdir(exist_ok=True)
        np.save(DICTIONARY, np.array(dictionary()))
        (ROOT / "prompts/cheetah_prompts.txt").write_text(prompt_list())
        train(new_network(0), clips, args.minutes)
    evaluate(held_out)


if __name__ == "__main__":
    main()
