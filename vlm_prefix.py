"""What a network says after each of several texts about one video. What the texts share goes
through it once: all up to the end of the video if the video comes first, else the video's features.
"""

import copy
from collections.abc import Iterator
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# How the configurations of transformers call the token that stands for a part of a video.
PLACES = ("video_token_id", "video_token_index", "image_token_id", "image_token_index")


def next_logits(
    network: Any, video: dict[str, Any], texts: list[dict[str, Any]], n: int
) -> Iterator["torch.Tensor"]:
    """Yields for each text the logits of its last n positions, float32 [n, V].

    network: an image-text-to-text model of transformers. video: the tensors that its processor
    makes of the video. texts: for each text its tensors, integers [1, L], without an attention
    mask, as all of it is attended to.
    """
    texts = [text | positions(network, video | text) for text in texts]
    length = shared_length(network, texts, n)
    if length:
        start = part(texts[0], slice(0, length))
        past = network(**start, **video, use_cache=True, logits_to_keep=1).past_key_values
        for text in texts:
            rest = part(text, slice(length, None))
            rest = {name: rest[name] for name in rest if name in ("input_ids", "position_ids")}
            # a copy, as what a network adds to it cannot be taken out of every kind of cache
            found = network(
                **rest, past_key_values=copy.deepcopy(past), use_cache=True, logits_to_keep=n
            )
            yield found.logits[0, -n:].float()
        return
    if len(texts) > 1:
        video = features(network, video)
    for text in texts:
        found = network(**text, **video, use_cache=False, logits_to_keep=n)
        yield found.logits[0, -n:].float()


def shared_length(network: Any, texts: list[dict], n: int) -> int:
    """How many tokens all texts begin with, if the whole video is among them, else 0; at least n
    remain of each text."""
    ids = [text["input_ids"][0].tolist() for text in texts]
    if len(ids) < 2:
        return 0
    first, last = min(ids), max(ids)  # in the order of words, so all others begin as both do
    differ = (i for i, (one, other) in enumerate(zip(first, last)) if one != other)
    length = min(next(differ, len(first)), *(len(one) - n for one in ids))
    places = {getattr(network.config, name, None) for name in PLACES} - {None}
    within = places.intersection(ids[0][:length])
    return length if within and not any(places.intersection(one[length:]) for one in ids) else 0


def positions(network: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The position of each token, for networks that number those of a video by time, height and
    width. A network remembers the last video's, which several threads must not share."""
    number = getattr(getattr(network, "model", None), "get_rope_index", None)
    if number is None:
        return {}
    taken = {name: inputs[name] for name in signature(number).parameters if name in inputs}
    return {"position_ids": number(**taken)[0]}  # [3, 1, L]


def part(text: dict[str, Any], where: slice) -> dict[str, Any]:
    """Some of a text's tokens."""
    return {name: value[..., where] for name, value in text.items()}


def features(network: Any, video: dict[str, Any]) -> dict[str, Any]:
    """What the network's vision tower makes of a video, to be given in its place; the video itself
    for networks that do not take that."""
    if "mm_encoder_outputs" not in signature(network.forward).parameters:
        return video
    taken = signature(network.get_video_features).parameters
    given = {name: value for name, value in video.items() if name in taken}
    found = network.get_video_features(**given, return_dict=True)
    others = {name: value for name, value in video.items() if "pixel_values" not in name}
    return others | {"mm_encoder_outputs": {"video": found}}
