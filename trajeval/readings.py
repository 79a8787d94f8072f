"""How a network reads prompts, and what it does not see of them."""

from typing import NamedTuple

from trajeval.terminal import printable


class Reading(NamedTuple):
    """What a network gets of one prompt, as token ids, and a message for each thing in the prompt
    that the network does not see."""

    tokens: list[int]
    unseen: list[str]


def read(prompts: list[str], tokenize, context: int) -> list[Reading]:
    """How a network reads prompts that a tokenizer cuts to a number of tokens.

    tokenize: (list of P texts, context) -> token ids, a tensor [P, context]; any tokenizer that
    cuts what is too long and may put an end of text last. context: tokens that the network reads.
    """

    def tokens(text, context=context):
        return tokenize([text], context)[0].tolist()

    def is_cut(text):  # with room for one more, a token stands where the end of text stood
        return tokens(text, context + 1)[:context] != tokens(text)

    def read_one(prompt):
        ids = tokens(prompt)
        if not is_cut(prompt):
            return Reading(ids, [])
        words = prompt.split()
        seen = fewest(len(words), lambda n: tokens(" ".join(words[:n])) == ids)
        where = "off"
        if is_cut(" ".join(words[:seen])):
            where, seen = "within", seen - 1
        cut = printable(" ".join(words[seen:]))
        return Reading(ids, [f"longer than the model's {context} tokens; cut {where}: {cut}"])

    return [read_one(prompt) for prompt in prompts]


def fewest(most: int, enough) -> int:
    """The smallest n from 0 to `most` for which enough(n) is true, as it then is for all larger
    ones; `most` if there is none. Never asks for much more than the answer: a prompt may have
    hundreds of thousands of words, and a network sees a few dozen."""
    high = 1
    while high < most and not enough(high):
        high *= 2
    low, high = (high // 2 if high > 1 else 0), min(high, most)
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return high


def warnings(prompts: list[str], readings: list[Reading]) -> list[list[str]]:
    """The warnings about each prompt: what the network does not see of it, and whether the network
    can tell it from the earlier ones."""
    found, first = [], {}
    for prompt, reading in zip(prompts, readings):
        messages, tokens = list(reading.unseen), tuple(reading.tokens)
        if tokens in first:
            messages.append(f'indistinguishable to the model from "{printable(first[tokens])}"')
        first.setdefault(tokens, prompt)
        found.append(messages)
    return found
