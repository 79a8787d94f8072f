"""Video-language models of transformers that embed videos and prompts on their own: VideoPrism and
PE-AV."""

from typing import Any

from hf_folders import CONFIG, entries
from hf_models import SAFELY, FolderModel
from trajeval.terminal import printable


class VideoPrism(FolderModel):
    """VideoPrism with its text encoder (Zhao et al., 2024). The similarity is the cosine; the
    logits of its forward are divided by their sum over the videos, so depend on the others."""

    name, default_frames = "videoprism", 16

    def embed_clips(self, frames, times):
        network, pixels = self.video_network, self.pixels(frames)
        interpolate = pixels.shape[1] != self.trained_frames
        found = network.get_video_features(pixels, interpolate_pos_encoding=interpolate)
        return found.pooler_output.flatten(1)  # [B, 1, D] -> [B, D]

    def embed_texts(self, prompts: list[str]):
        from trajeval.batches import infer

        tokens = self.tokens(prompts)
        return infer(lambda: self.text_network.get_text_features(**tokens).pooler_output)


class PeVideo(FolderModel):
    """The video and the text branch of PE-AV (Vyas et al., 2025). transformers has no functions
    for the two embeddings, so they are made as its forward makes them; the similarity is the
    cosine."""

    name = "pe-video"
    packages = (*FolderModel.packages, "timm")

    @property
    def wrong_settings(self) -> list[str]:
        named = [value for key, value in entries(self.config) if key == "architecture"]
        if all(str(name).isidentifier() for name in named):
            return []
        found = printable(", ".join(map(str, named)))
        return [f"{self.folder / CONFIG}: architecture: must be a model of timm, got {found}"]

    def load_network(self):
        if self.config["model_type"] == "pe_video":
            return super().load_network()
        import torch
        from transformers import AutoConfig, PeVideoModel

        config = AutoConfig.from_pretrained(str(self.folder), **SAFELY).video_config
        return PeVideoModel.from_pretrained(
            None,
            config=config,
            state_dict=video_branch(list(self.weights)),
            dtype=torch.float32,
            device_map=self.device_map,
        )

    def embed_clips(self, frames, times):
        network = self.video_network
        return network.video_head(network.video_encoder(self.pixels(frames)).pooler_output)

    def embed_texts(self, prompts: list[str]):
        from trajeval.batches import infer

        network, tokens = self.text_network, self.tokens(prompts)

        def embed():
            return network.text_video_head(network.text_model(**tokens).last_hidden_state[:, 0])

        return infer(embed)


def video_branch(weights: list[str]) -> dict[str, Any]:
    """The weights of the video and text branch of a model of audio and video, which transformers
    5.23 cannot load as a whole beside timm 1.0.31; its branches share the text encoder."""
    from safetensors import safe_open

    state = {}
    for path in weights:
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118
                if key.startswith(("video_model.", "text_model.")):
                    state[key.removeprefix("video_model.")] = file.get_tensor(key)
    return state
