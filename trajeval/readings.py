"""How a network reads prompts, and what it will not see of them."""

from bisect import bisect_left
from typing import NamedTuple


class Reading(NamedTuple):
    """What a network gets of one prompt, as token ids, and a message for each thing of it that the
    network will not see."""

    tokens: list[int]
    unseen: list[str]


def read(prompts: list[str], tokenize, context: int) -> list[Reading]:
    """How a network reads prompts that are cut into tokens.

    tokenize: (list of P texts, context) -> token ids, a tensor [P, context]; any tokenizer that
    cuts what is too long and may put an end of text last. context: tokens that the network reads.
    """

    def tokens(text, context=context):
        return tokenize([text], context)[0].tolist()

    def is_cut(text):  # with more room, another token stands where the end of text stood
        return tokens(text, context + 1)[:context] != tokens(text)

    readings = []
    for prompt in prompts:
        messages, ids = [], tokens(prompt)
        if is_cut(prompt):
            words = prompt.split()
            starts = [" ".join(words[:n]) for n in range(len(words) + 1)]
            seen = bisect_left(starts, True, key=lambda start: tokens(start) == ids)
            where = "off"
            if is_cut(starts[seen]):
                where, seen = "within", seen - 1
            cut = " ".join(words[seen:])
            messages.append(f"longer than the network's {context} tokens, cut {where}: {cut}")
        readings.append(Reading(ids, messages))
    return readings


def warnings(prompts: list[str], readings: list[Reading]) -> list[list[str]]:
    """For each prompt, what is to be said of it: what the network will not see, and whether it is
    the same to it as an earlier one."""
    told, first = [], {}
    for prompt, reading in zip(prompts, readings):
        messages, tokens = list(reading.unseen), tuple(reading.tokens)
        if tokens in first:
            messages.append(f'the same to the network as "{first[tokens]}"')
        first.setdefault(tokens, prompt)
        told.append(messages)
    return told
