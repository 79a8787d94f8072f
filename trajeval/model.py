"""What a model is: the class that every evaluator fills in. CONTRIBUTING.md shows how."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trajeval.cache import NO_CACHE, Cache
from trajeval.devices import choose_device, choose_precision
from trajeval.files import check_unchanged, stamps
from trajeval.options import Option
from trajeval.readings import Reading
from trajeval.weights import sha256

if TYPE_CHECKING:
    import numpy as np
    import torch


class Model(ABC):
    """A network that embeds videos and prompts in one space, and how it wants them.

    Constructing one reads, hashes and downloads nothing. The files are found and hashed when
    `weights` is first asked for, and a network is loaded when something is embedded that the cache
    does not have; `load` does both at once.

    name: identifies the family in the cache and in run.json. packages: distributions, other than
    PyTorch and NumPy, whose versions the embeddings depend on. options: what the command line
    takes besides the shared options; an option that has the name of a parameter of __init__ is
    passed to it. n_frames: frames sampled from a video, even if even_frames is true. resize, size:
    how frames are scaled, as in videos.read_clips. architecture: what the network depends on
    besides its files, as JSON values.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[Option, ...]] = ()
    even_frames: ClassVar[bool] = False
    n_frames: int
    resize: Any = "crop"
    size: int | None = 224
    architecture: Any = None

    def __init__(
        self,
        *,
        device: str = "auto",
        precision: str = "auto",
        n_frames: int | None = None,
        cache: Cache = NO_CACHE,
    ):
        """device: "auto", "cpu", "cuda", "cuda:N" or "mps". precision, of the video network:
        "auto", "float32", "tf32", "bfloat16" or "float16". n_frames: the class's by default. cache:
        keeps the hashes of weights and whatever else a model finds out, for later runs."""
        self._device, self._precision, self.cache = device, precision, cache
        if n_frames is not None:
            self.n_frames = n_frames

    @classmethod
    def load(cls, *arguments, **settings) -> Self:
        """A model with its networks in memory. Takes the arguments of the class. Raises UserError
        for weights that are missing, wrong or cannot be downloaded, and for an unknown device."""
        model = cls(*arguments, **settings)
        _ = model.weights, model.video_network, model.text_network
        return model

    @cached_property
    def device(self) -> str:
        """Where the networks run. Raises UserError for a device that this machine lacks."""
        return choose_device(self._device)

    @cached_property
    def precision(self) -> str:
        """What the video network computes in: "float32", "tf32", "bfloat16" or "float16"."""
        return choose_precision(self._precision, self.device)

    @property
    @abstractmethod
    def description(self) -> str:
        """The model in words, for titles, such as "ViCLIP-L/14, weights.pth"."""

    @property
    def short_name(self) -> str:
        """The description up to the first comma."""
        return self.description.partition(",")[0]

    @property
    def warnings(self) -> list[str]:
        """What a user should know about these settings, beyond single prompts and videos."""
        return []

    @abstractmethod
    def find_files(self) -> list[Path]:
        """The files that the networks are loaded from; downloads those that are missing. Raises
        UserError."""

    @cached_property
    def weights(self) -> dict[str, str]:
        """The path of each file that the networks are loaded from -> its SHA-256. Raises
        UserError."""
        files = self.find_files()
        self.stamps = stamps(files)
        return {str(path): sha256(path, cache=self.cache) for path in files}

    @contextmanager
    def loading(self) -> Iterator[None]:
        """To be put around whatever loads the files: hashes them before, and raises UserError if
        they have changed since, as what was loaded may then not be what was hashed."""
        _ = self.weights
        yield
        check_unchanged(self.stamps)

    @property
    def preparation(self) -> dict[str, Any]:
        """How frames are prepared, as JSON values: for the cache, run.json and users."""
        return {"resize": self.resize, "size": self.size}

    @property
    @abstractmethod
    def video_network(self) -> Any:
        """What embed_clips needs in memory. A cached property. Raises UserError."""

    @property
    @abstractmethod
    def text_network(self) -> Any:
        """What embed_texts and read_texts need in memory. A cached property. Raises UserError."""

    @abstractmethod
    def embed_clips(self, frames: "torch.Tensor", times: "np.ndarray") -> "torch.Tensor":
        """Clips -> embeddings [B, D]. frames: on the device, uint8 RGB [B, T, H, W, 3]. times:
        NumPy float64 [B, T], when each frame is shown, in seconds from the first frame of the
        trajectory; NaN where its frame rate is unknown. Called in inference mode, under autocast to
        the model's precision. Raises ValueError for a shape that the network does not take."""

    @abstractmethod
    def embed_texts(self, prompts: list[str]) -> "np.ndarray":
        """P prompts -> float32 [P, D]."""

    @abstractmethod
    def read_texts(self, prompts: list[str]) -> list[Reading]:
        """How the network reads each prompt, and what it does not see of it."""

    @classmethod
    def check(cls, args) -> list[str]:
        """What is wrong with the parsed options of the command line, beyond each one's own value;
        fills in what depends on several of them. Imports nothing heavy."""
        return []

    @classmethod
    def from_arguments(cls, args, cache: Cache) -> Self:
        """The model that parsed options describe. Raises UserError for a device or a precision that
        this machine lacks, before anything is downloaded."""
        parameters = {
            name
            for base in cls.__mro__
            if "__init__" in vars(base) and base is not object
            for name in inspect.signature(base.__init__).parameters
        }
        settings = {name: value for name, value in vars(args).items() if name in parameters}
        model = cls(cache=cache, **settings)
        _ = model.device, model.precision
        return model

    def embed_videos(self, videos: list) -> "np.ndarray":
        """The embeddings of videos, float32 [N, D], as the network gives them.

        videos: paths of videos, of folders of frames or of array files; parts of them,
        PATH#t=START,END; arrays, uint8 RGB [T, H, W, 3]; or sources.Source. Raises ValueError
        unless it is a list with at least one, videos.VideoError for the first that cannot be used,
        UserError for weights that cannot be loaded.
        """
        from trajeval.embedding import embed_videos

        return embed_videos(self, videos)

    def embed_prompts(self, prompts: list[str]) -> "np.ndarray":
        """The embeddings of prompts, float32 [P, D], as the network gives them. Raises ValueError
        unless it is a list with at least one, UserError for weights that cannot be loaded."""
        from trajeval.embedding import check_list, embed_prompts

        check_list(prompts, "prompt")
        return embed_prompts(self, prompts)[0]

    def similarity(self, videos: list, prompts: list[str]) -> "np.ndarray":
        """Cosine similarities of videos and prompts, float32 [N, P] in [-1, 1]; of a Judge, its
        scores. Takes and raises what embed_videos and embed_prompts do."""
        from trajeval.embedding import similarity

        return similarity(self, videos, prompts)


class FrameModel(Model):
    """A model that embeds frame by frame: the embedding of a clip is the mean of its frames'. Each
    frame is embedded once, however many clips it is in, and along a trajectory its clips are made
    of at most twice n_frames frames."""

    @abstractmethod
    def embed_frames(self, frames: "torch.Tensor") -> "torch.Tensor":
        """Frames on the device, uint8 RGB [N, H, W, 3] -> embeddings [N, D] of any length. Called
        as embed_clips is, and raises what it does."""

    def embed_clips(self, frames, times):
        from trajeval.batches import mean_of_frames

        return mean_of_frames(
            self.embed_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        )


class Judge(Model):
    """A model that looks at a video and a prompt together, and gives the pair a score. It has no
    embeddings; text_network is what read_texts needs in memory, video_network what score does.

    score_label: what the scores are, for the heatmap's colour bar, such as "log p(True)".
    """

    score_label: str
    embed_clips = embed_texts = embed_videos = embed_prompts = None

    @abstractmethod
    def score(
        self, frames: "torch.Tensor", times: "np.ndarray", prompts: list[str]
    ) -> "np.ndarray":
        """One clip and P prompts -> scores, float32 [P]. frames: on the device, uint8 RGB
        [T, H, W, 3]. times: float64 [T], as in embed_clips. Called in inference mode, without
        autocast. Raises ValueError for a shape that the network does not take."""
