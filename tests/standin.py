"""A model that takes as long as it is told, and models that end their process: for tests of several
processes, which import it by its name."""

import os
import signal
import time
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from trajeval.model import Judge, Model
from trajeval.options import Option, number, path
from trajeval.readings import Reading
from trajeval.terminal import UserError


class Standin(Model):
    """Embeds a clip as its mean colour, and its order. seconds: that a clip takes. pids: a folder
    where each process that loads it leaves a file named by its number, with "busy" in it once it
    has a clip. until: a file that clips wait for. deadly: whether a video that is white ends the
    process, or loading does, or is an error."""

    name, description = "standin", "A stand-in"
    n_frames, resize, size = 4, "crop", 32
    text_network = None
    options = (
        Option("--seconds", "that a clip takes", "N", number(lambda _: True, "any"), 0.0),
        Option("--pids", "folder", "DIR", path),
        Option("--until", "a file that clips wait for", "FILE", path),
        Option("--deadly", "what is: a video, loading, error", "WHAT"),
    )

    def __init__(self, *, seconds: float = 0, pids=None, until=None, deadly=None, **settings):
        super().__init__(**settings)
        self.seconds, self.pids, self.until, self.deadly = seconds, pids, until, deadly

    def find_files(self):
        return []

    @cached_property
    def video_network(self):
        if self.pids:
            Path(self.pids, str(os.getpid())).touch()
        if self.deadly == "loading":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.deadly == "error":
            raise UserError("w.pth: no weights here", "and no advice", status=1)
        return True

    def spend(self, frames):
        if self.pids:
            Path(self.pids, str(os.getpid())).write_text("busy")
        while self.until and not Path(self.until).exists():
            time.sleep(0.01)
        time.sleep(self.seconds * len(frames))
        if self.deadly == "video" and frames.float().mean() > 250:
            os.kill(os.getpid(), signal.SIGKILL)

    def embed_clips(self, frames, times):
        self.spend(frames)
        places = 1 + torch.arange(frames.shape[1])[:, None]
        return (frames.float().mean((2, 3)) * places).sum(1) / 100

    def embed_texts(self, prompts):
        return np.array([[len(prompt), 1, 2] for prompt in prompts], np.float32)

    def read_texts(self, prompts):
        return [Reading([len(prompt)], []) for prompt in prompts]


class Counted(Standin):
    """Also writes down which clips it has computed."""

    name = "counted"
    options = (*Standin.options, Option("--counts", "file", "FILE", path))

    def __init__(self, *, counts, **settings):
        super().__init__(**settings)
        self.counts = counts

    def embed_clips(self, frames, times):
        found = super().embed_clips(frames, times)
        with open(self.counts, "a") as file:
            file.write("".join(f"{int(one[0, 0, 0, 0])}\n" for one in frames))
        return found


class StandinJudge(Judge, Standin):
    """Scores a clip by its brightness and the length of a prompt."""

    score_label = "log p(True)"

    def score(self, frames, times, prompts):
        self.spend(frames[None])
        return np.array([frames.float().mean() / len(p) for p in prompts], np.float32)
