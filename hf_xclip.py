"""X-CLIP: a video and a prompt together, as the prompt's embedding depends on the video."""

from contextlib import nullcontext

from hf_models import FolderModel
from trajeval.model import Judge


class XClip(FolderModel, Judge):
    """X-CLIP (Ni et al., 2022). The score is the cosine of the video with the prompt as the
    network changes it for that video; its logits are this times a constant. The cosine of the
    separate embeddings is another number."""

    name, score_label, default_frames = "xclip", "cosine similarity, X-CLIP", 8

    @property
    def wrong_settings(self) -> list[str]:
        if self.n_frames == self.trained_frames:
            return []
        return [
            f"--n-frames {self.n_frames}: {self.short_name} takes {self.trained_frames} frames, no "
            "other number: leave it out"
        ]

    def score(self, frames, times, prompts: list[str]):
        import torch

        from trajeval.devices import torch_type

        if len(frames) != self.trained_frames:
            raise ValueError(f"X-CLIP takes {self.trained_frames} frames, got {len(frames)}")
        tokens, pixels = self.tokens(prompts), self.pixels(frames[None])
        dtype, kind = torch_type(self.precision), torch.device(self.device).type
        lower = dtype != torch.float32
        with torch.autocast(kind, dtype) if lower else nullcontext(), torch.inference_mode():
            found = self.video_network(pixel_values=pixels, **tokens)
        return (found.text_embeds[0].float() @ found.video_embeds[0].float()).cpu().numpy()
