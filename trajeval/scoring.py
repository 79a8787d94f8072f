"""Clips and prompts through a judge, one video at a time.

torch and the video decoder are imported where they are needed.
"""

from contextlib import closing

import numpy as np

from trajeval.batches import (
    Fresh,
    different_clips,
    is_error,
    is_out_of_memory,
    not_finite,
    room_for,
)
from trajeval.devices import float32_products


def is_judge(model) -> bool:
    """Whether it is a model.Judge, or a class of them."""
    return hasattr(model, "score")


def score_fresh(model, requests):
    """Yields the Fresh of each (source, prompts of each view), or its VideoError, decoded and
    computed now. Its values are float32 [R, P], the scores of a view's clips and prompts."""
    from trajeval.videos import read_views

    with room_for("the network", model.device):
        _ = model.video_network
    sources, prompts = zip(*requests) if requests else ((), ())
    settings = model.n_frames, model.resize, model.size
    with (
        float32_products(model.device, model.precision),
        closing(read_views(sources, prompts, *settings)) as footages,
    ):
        for source, wanted, footage in zip(sources, prompts, footages):
            found = footage if is_error(footage) else score(model, source.name, footage, wanted)
            del footage  # which is large, while the next is waited for
            yield found


def score(model, name, footage, wanted):
    """The Fresh of a video, or a VideoError. wanted: the prompts of each view."""
    from trajeval.videos import VideoError

    clips, made_of = different_clips(footage)
    prompts = [  # of each clip, without repeats
        list(dict.fromkeys(p for view in made_of if i in made_of[view] for p in wanted[view]))
        for i in range(len(clips))
    ]
    try:
        scores = [score_clip(model, footage, *clip, own) for clip, own in zip(clips, prompts)]
    except ValueError as error:
        return VideoError(f"{name}: {error}")
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return VideoError(f"{name}: not enough memory on {model.device} for this clip")
    if not all(np.isfinite(list(of_clip.values())).all() for of_clip in scores):
        return VideoError(f"{name}: {not_finite(model, 'its scores have')}")
    values = {
        view: np.array([[scores[i][p] for p in wanted[view]] for i in numbers], np.float32)
        for view, numbers in made_of.items()
    }
    return Fresh(values, footage._replace(frames=None))


def score_clip(model, footage, places, times, prompts) -> dict[str, float]:
    """The score of a clip with each prompt."""
    import torch

    frames = torch.from_numpy(footage.frames[places]).to(model.device)
    with torch.inference_mode():
        scores = model.score(frames, times, prompts)
    return dict(zip(prompts, scores.tolist(), strict=True))
