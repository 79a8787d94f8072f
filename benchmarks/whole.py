"""Whole runs from the command line: against a plain script for the same job, with a filled cache,
and how they scale with the number of trajectories."""

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from decoding import make_trajectories
from measuring import ROOT, Row, compared, limited, run
from networks import part_of

from s3d_evaluator import DEMO, S3DModel
from trajeval.batches import embed_batch, threads_of
from trajeval.devices import n_cores, split_work
from trajeval.embedding import embed_trajectories
from trajeval.videos import read_clips

CHECKPOINT, DICTIONARY = DEMO["model_checkpoint_path"], DEMO["dict_path"]
PROMPTS = DEMO["prompts_path"]
SIZE = 224  # of real weights; the demo's are for 112

# What people write today: every video whole, all videos in one batch. Its arguments: the weights,
# the dictionary, the list of trajectories, the list of prompts, the picture.
PLAIN = """
import os, resource, sys  # so that it fails instead of using up the machine's memory
memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (memory * 9 // 10,) * 2)

import imageio.v3 as iio, matplotlib.pyplot as plt, torch, torch.nn.functional as F
from s3dg import S3D
from trajeval.weights import load_state_dict

weights, dictionary, trajectories, prompts, picture = sys.argv[1:]
net = S3D(dictionary, 512)
net.load_state_dict(load_state_dict(weights))
net.eval()
videos = []
for line in open(trajectories).read().splitlines():
    video = iio.imread(line, plugin="pyav")
    video = video[[i * len(video) // 32 for i in range(32)]]
    video = torch.from_numpy(video).permute(0, 3, 1, 2).float() / 255
    video = F.interpolate(video, (224, 224), mode="bicubic").clamp(0, 1)
    videos.append(video.transpose(0, 1))
texts = [p for p in open(prompts).read().splitlines() if p and p[0] not in "#["]
with torch.no_grad():
    a = net(torch.stack(videos))["video_embedding"]
    b = net.text_module(texts)["text_embedding"]
plt.imshow(F.cosine_similarity(a[:, None], b[None], dim=2))
plt.savefig(picture)
"""


def rows(folder: Path, quick: bool) -> Iterator[Row]:
    print("whole runs", file=sys.stderr)
    n = 8 if quick else 64
    listed = make_trajectories(folder / "trajectories", n)

    ours = evaluate(folder, listed, "--no-cache")
    plain = run_plain(folder, listed)
    assert plain.status == 0, plain.stderr
    name = f"{n} trajectories, nothing kept"
    yield compared(name, ours.seconds, plain.seconds, None if quick else 3)
    memory = f"{plain.peak / 1e9:.3g} GB"
    yield limited(f"{n} trajectories: peak memory", ours.peak / 1e9, 2, "GB", memory)
    seconds = times(folder)
    told = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
    yield Row(f"{n} trajectories: where the time goes", told)
    yield from overlap_rows(listed, 1 if quick else 3)
    yield from kept_rows(folder, listed, 1 if quick else 3)
    yield from demo_rows(folder, 1 if quick else 5)
    yield from start_rows(1 if quick else 5)
    if not quick:
        yield from growth_rows(folder, n, seconds["videos"] / n)


def evaluate(folder: Path, listed: Path, *arguments, prompts=PROMPTS):
    lists = ["-t", listed, "-p", prompts, "-e", "run", "-o", folder / "out"]
    weights = ["--model-checkpoint-path", CHECKPOINT, "--dict-path", DICTIONARY, "--size", SIZE]
    done = run("s3d_evaluator.py", *lists, *weights, "--device", "cpu", *arguments)
    assert done.status == 0, done.stderr
    return done


def run_plain(folder: Path, listed: Path):
    return run("-c", PLAIN, CHECKPOINT, DICTIONARY, listed, PROMPTS, folder / "plain.png")


def times(folder: Path) -> dict[str, float]:
    """The seconds of each stage of the last run."""
    return json.loads((folder / "out/run/run.json").read_text(encoding="utf-8"))["seconds"]


def overlap_rows(listed: Path, rounds: int) -> Iterator[Row]:
    """How well decoding and the network share the cores."""
    paths = listed.read_text().splitlines()
    model = S3DModel.load(ROOT / CHECKPOINT, ROOT / DICTIONARY, device="cpu", size=SIZE)
    (clip,) = read_clips(paths[:1], model.n_frames, model.resize, model.size)
    deque(embed_trajectories(model, paths[:4]), 0)  # warms up
    measured = []
    for _ in range(rounds):
        decode = cpu_seconds(videos_alone, model, paths)
        network = cpu_seconds(network_alone, model, clip, len(paths))
        start, work = time.perf_counter(), time.process_time()
        deque(embed_trajectories(model, paths), 0)
        seconds, work = time.perf_counter() - start, time.process_time() - work
        measured.append((decode, network, seconds, work / seconds / n_cores()))
    decode, network, seconds = (min(values) for values in list(zip(*measured))[:3])
    busy, n = max(busy for *_, busy in measured), len(paths)
    over = seconds / ((decode + network) / n_cores())
    yield limited(f"{n} trajectories: time, over the work of all cores", over, 1.1, "")
    yield Row(f"{n} trajectories: cores busy", f"{busy:.0%}", "", None, ">= 90 %", busy >= 0.9)
    told = f"videos {decode:.1f} s, network {network:.1f} s"
    yield Row(f"{n} trajectories: work of one core", told)


def cpu_seconds(function, *arguments) -> float:
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def videos_alone(model, paths) -> None:
    deque(read_clips(paths, model.n_frames, model.resize, model.size), 0)


def network_alone(model, clip, n: int) -> None:
    with threads_of(model, *split_work(model.device)) as pool:
        deque(pool.map(lambda _: embed_batch(model, [part_of(clip)]), range(n)), 0)


def kept_rows(folder: Path, listed: Path, rounds: int) -> Iterator[Row]:
    """Runs with a filled cache."""
    more = folder / "more_prompts.txt"
    text = (ROOT / PROMPTS).read_text(encoding="utf-8")
    flat = [line for line in text.splitlines() if line and line[0] not in "#["]
    (folder / "prompts.txt").write_text("\n".join(flat))
    cache = ["--cache-dir", folder / "cache"]
    fresh = evaluate(folder, listed, *cache, prompts=folder / "prompts.txt")
    n = len(listed.read_text().splitlines())
    least = {"prompts": [], "all": []}
    for turn in range(rounds):
        more.write_text("\n".join([*flat, f"a cheetah takes {turn + 2} steps"]))
        least["prompts"].append(evaluate(folder, listed, *cache, prompts=more).seconds)
        least["all"].append(evaluate(folder, listed, *cache, prompts=more).seconds)
    before = f"{fresh.seconds:.3g} s"
    yield limited(f"{n} trajectories kept, a new prompt", min(least["prompts"]), 3, "s", before)
    yield limited(f"{n} trajectories and all prompts kept", min(least["all"]), 1.5, "s", before)


def demo_rows(folder: Path, rounds: int) -> Iterator[Row]:
    """The demo, first and again; the aim of the first run is for 0.1 s a clip in the network."""
    command = ["s3d_evaluator.py", "--demo", "-o", folder / "demo", "--cache-dir", folder / "kept"]
    first, *kept = (run(*command) for _ in range(rounds + 1))
    assert all(done.status == 0 for done in (first, *kept)), first.stderr
    yield limited("the demo, nothing kept", first.seconds, 12, "s")
    yield limited("the demo, all kept", min(done.seconds for done in kept), 2, "s")


def start_rows(rounds: int) -> Iterator[Row]:
    def least(*command):
        return min(run(*command).seconds for _ in range(rounds))

    yield limited("--help", least("s3d_evaluator.py", "--help"), 0.2)
    wrong = ["-t", "no.txt", "-p", "no.txt", "-e", "run"]
    yield limited("errors of input", least("s3d_evaluator.py", *wrong), 0.5)
    ours, torch = least("-c", "import s3dg"), least("-c", "import torch")
    yield compared("import s3dg, against import torch", ours, torch)


def growth_rows(folder: Path, n: int, each_of_n: float) -> Iterator[Row]:
    """More trajectories than n take the same time for each, and the same memory."""
    each = {n: each_of_n}  # seconds
    for more in (256, 1000):
        listed = make_trajectories(folder / "trajectories", more)
        done = evaluate(folder, listed, "--no-cache")
        each[more] = times(folder)["videos"] / more
        yield limited(f"{more} trajectories: peak memory", done.peak / 1e9, 2, "GB")
    texts = f"{each[1000]:.3g} s", f"{each[n]:.3g} s"
    name = f"each of 1000 trajectories, against each of {n}"
    yield Row(name, *texts, each[n] / each[1000], ">= 0.95", each[n] / each[1000] >= 0.95)
    plain = run_plain(folder, make_trajectories(folder / "trajectories", 2 * n))
    told = f"{plain.peak / 1e9:.3g} GB"
    if plain.status:
        print(plain.stderr[-200:], file=sys.stderr)
        told += ", then fails"
    yield Row(f"{2 * n} trajectories, the plain script: peak memory", "", told)
