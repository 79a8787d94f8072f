"""What the models of all evaluators have in common."""

from pathlib import Path


class Model:
    """A network that embeds videos and prompts.

    name, packages: for run.json, the latter those of its own whose versions count. n_frames, resize
    and size say how a video is sampled (as in videos.read_clips), preparation tells it to users;
    device; precision; description is for the picture's title; weights maps the files it was loaded
    from to their SHA-256.
    """

    def similarity(self, paths: list[str | Path], prompts: list[str]):
        """Cosine similarities of videos and prompts, NumPy float32 [N, P]. Raises
        videos.VideoError for the first video that cannot be used."""
        from embedding import similarity

        return similarity(self, paths, prompts)
