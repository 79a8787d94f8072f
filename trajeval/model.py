"""What the models of all evaluators have in common."""

from pathlib import Path


class Model:
    """A network that embeds videos and prompts. Its weights are loaded when it is first asked to.

    name, architecture: what networks tell it from others. packages: those of its own whose versions
    count. weights: the files that it is loaded from -> their SHA-256. description: for the
    picture's title. device, precision: as in devices.choose_device and choose_precision. n_frames,
    resize, size: how a video is sampled, as in videos.read_clips; preparation tells it to users.
    """

    @classmethod
    def load(cls, *arguments, **options) -> "Model":
        """A model with its weights in memory. Takes and raises what the class itself takes and
        raises, and UserError for files that do not fit it."""
        model = cls(*arguments, **options)
        _ = model.video_network, model.text_network
        return model

    def similarity(self, paths: list[str | Path], prompts: list[str]):
        """Cosine similarities of videos and prompts, NumPy float32 [N, P]. Raises
        videos.VideoError for the first video that cannot be used."""
        from trajeval.embedding import similarity

        return similarity(self, paths, prompts)
