"""The similarity of a clip and a prompt as a reward, inside a training loop.

    reward = SimilarityReward(S3DModel.load(), "a robot is opening a door")
    reward(frames)  # uint8 [T, H, W, 3] -> float

    env = gymnasium.make("HalfCheetah-v5", render_mode="rgb_array")
    env = SimilarityRewardWrapper(env, reward)

The values are those of the command line for a video of the same frames. docs/python.md shows more.
"""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from trajeval import embedding, readings
from trajeval.inputs import BASELINE
from trajeval.model import Judge, Model
from trajeval.options import BASELINE_SIMILARITIES
from trajeval.similarity import table_of
from trajeval.table import Entry
from trajeval.terminal import UserError, printable
from trajeval.videos import sample_indices

if TYPE_CHECKING:
    from trajeval.wrappers import SimilarityRewardVectorWrapper, SimilarityRewardWrapper

__all__ = ["SimilarityReward", "SimilarityRewardVectorWrapper", "SimilarityRewardWrapper"]

WRAPPERS = ("SimilarityRewardVectorWrapper", "SimilarityRewardWrapper")


class SimilarityReward:
    """How similar a clip is to a prompt.

    The prompts are embedded here, once. What the model does not see of them is warned about.

    baseline: one or more neutral descriptions, which similarity "projection" and "goal-baseline"
    need, with alpha in [0, 1] as in similarity.projection_similarity. softmax_against: other
    prompts; the reward is then the probability of `prompt` among them and itself, at a temperature
    above 0. Raises ValueError for settings that do not go together, UserError for weights that
    cannot be loaded.
    """

    def __init__(
        self,
        model: Model,
        prompt: str,
        baseline: str | Sequence[str] | None = None,
        similarity: str = "cosine",
        alpha: float = 0.5,
        softmax_against: Sequence[str] | None = None,
        temperature: float = 0.01,
    ):
        against = texts_in("softmax_against", softmax_against)
        neutral = texts_in("baseline", [baseline] if isinstance(baseline, str) else baseline)
        (prompt,) = texts_in("prompt", [prompt])
        if isinstance(model, Judge):
            raise ValueError("a judge has no embeddings: its model.similarity gives the scores")
        if problem := problem_of(similarity, neutral, alpha, temperature):
            raise ValueError(problem)
        self.model, self.prompt = model, prompt
        self._settings: dict[str, Any] = {"similarity": similarity, "alpha": alpha}
        self._settings["softmax"] = temperature if against else None
        prompts = [prompt, *against, *neutral]
        self._columns = [Entry(text) for text in (prompt, *against)]
        self._columns += [Entry(text, (BASELINE,)) for text in neutral]
        self._texts, found = embedding.embed_prompts(model, prompts)
        for text, messages in zip(prompts, readings.warnings(prompts, found)):
            for message in messages:
                warnings.warn(f'"{printable(text)}": {message}', stacklevel=2)

    def __call__(self, frames: np.ndarray | Sequence[np.ndarray]) -> float:
        """The reward of one clip, uint8 RGB [T, H, W, 3] or a list of T frames [H, W, 3]. As of a
        video, the model sees n_frames of them, evenly spread. Raises ValueError for anything else,
        and videos.VideoError for frames that the model does not take."""
        return float(self._rewards([sampled(frames, self.model.n_frames, "the clip")])[0])

    def batch(self, clips: Sequence[np.ndarray | Sequence[np.ndarray]]) -> np.ndarray:
        """The rewards of N clips, float32 [N]. They may differ in length and size."""
        n_frames = self.model.n_frames
        frames = [sampled(clip, n_frames, f"clip {i}") for i, clip in enumerate(clips)]
        return self._rewards(frames) if frames else np.zeros(0, np.float32)

    def _rewards(self, clips: list[np.ndarray]) -> np.ndarray:
        videos = self.model.embed_videos(clips)
        rows = [Entry(f"clip {i}") for i in range(len(clips))]
        return table_of(videos, self._texts, rows, self._columns, **self._settings).values[:, 0]


def sampled(clip, n_frames: int, name: str) -> np.ndarray:
    """The frames of a clip that the model sees, uint8 [n_frames, H, W, 3]: sampling a video of
    these gives all of them. Raises ValueError."""
    if isinstance(clip, np.ndarray) and clip.ndim != 4:
        shape = list(clip.shape)
        raise ValueError(f"{name}: expected uint8 [T, H, W, 3], got {clip.dtype} {shape}")
    if not isinstance(clip, np.ndarray | Sequence):
        raise ValueError(f"{name}: expected uint8 [T, H, W, 3], got {type(clip).__name__}")
    if len(clip) == 0:
        raise ValueError(f"{name}: has no frames")
    frames = [np.asarray(clip[i]) for i in sample_indices(len(clip), n_frames)]
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(
                f"{name}: expected frames uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}"
            )
        if frame.shape != frames[0].shape:
            raise ValueError(
                f"{name}: its frames differ in size, {list(frames[0].shape)} and "
                f"{list(frame.shape)}"
            )
    return np.stack(frames)


def texts_in(name: str, texts: Sequence[str] | None) -> list[str]:
    """A list of prompts, empty for None. Raises ValueError for anything else and empty prompts."""
    if texts is None:
        return []
    wrong = isinstance(texts, str) or not len(texts)
    if wrong or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{name}: expected prompts, which are texts that are not empty")
    return list(texts)


def problem_of(similarity, baseline, alpha, temperature) -> str | None:
    """What is wrong with the settings of a reward."""
    names = ("cosine", *BASELINE_SIMILARITIES)
    if similarity not in names:
        return f"similarity must be one of {', '.join(names)}, got {similarity!r}"
    if similarity != "cosine" and not baseline:
        return f"similarity {similarity!r} needs a baseline, a neutral description"
    if similarity == "cosine" and baseline:
        return "a baseline needs the similarity projection or goal-baseline"
    if not 0 <= alpha <= 1:
        return f"alpha must be from 0 to 1, got {alpha}"
    if not 0 < temperature < float("inf"):
        return f"temperature must be above 0, got {temperature}"
    return None


def __getattr__(name: str) -> Any:
    """The wrappers, which alone need Gymnasium. Raises UserError where it is not installed."""
    if name not in WRAPPERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("gymnasium") is None:
        raise UserError(f"{name} needs Gymnasium: pip install gymnasium")
    from trajeval import wrappers

    return getattr(wrappers, name)
