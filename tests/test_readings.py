"""What a network does not see of a prompt, by CLIP's tokenizer and by a tokenizer of letters."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import viclip
from trajeval.readings import Reading, fewest, read, warnings

END = 1


def letters(texts, context):
    """A tokenizer with a token for each letter and an end; lower case only, like CLIP's."""
    rows = []
    for text in texts:
        ids = [ord(letter) for letter in "".join(text.lower().split())]
        ids = [*ids[: context - 1], END]
        rows.append(ids + [0] * (context - len(ids)))
    return torch.tensor(rows)


def unseen(prompts, tokenize, context):
    return [reading.unseen for reading in read(prompts, tokenize, context)]


def warned(prompts, tokenize, context):
    return warnings(prompts, read(prompts, tokenize, context))


def test_short_prompts_have_no_message():
    assert unseen(["abc de", "abcdefg", ""], letters, 8) == [[], [], []]


def test_tokens_are_those_that_the_network_gets():
    assert read(["Ab c", ""], letters, 5) == [
        *(Reading([97, 98, 99, END, 0], []), Reading([END, 0, 0, 0, 0], []))
    ]
    (reading,) = read(["abcdef"], letters, 5)
    assert reading.tokens == [97, 98, 99, 100, END]


def test_cut_between_words():
    (messages,) = unseen(["abcd efg hi j"], letters, 8)
    assert messages == ["longer than the model's 8 tokens; cut off: hi j"]


def test_cut_within_a_word():
    (messages,) = unseen(["abcd efghi j"], letters, 8)
    assert messages == ["longer than the model's 8 tokens; cut within: efghi j"]
    (messages,) = unseen(["abcdefghi"], letters, 8)
    assert messages == ["longer than the model's 8 tokens; cut within: abcdefghi"]


def test_prompts_with_the_same_tokens_are_named():
    same = 'indistinguishable to the model from "ab c"'
    prompts = ["ab c", "x", "A  b C", "ab c"]
    assert warned(prompts, letters, 8) == [[], [], [same], [same]]
    assert unseen(prompts, letters, 8) == [[], [], [], []]


def test_warnings_do_not_change_the_readings():
    """The cache keeps readings, and another run has other prompts."""
    readings = [Reading([1], []), Reading([1], ["cut"])]
    assert warnings(["a", "b"], readings) == [
        [],
        ["cut", 'indistinguishable to the model from "a"'],
    ]
    assert readings == [Reading([1], []), Reading([1], ["cut"])]


@given(st.lists(st.text(alphabet="abc ", max_size=20), max_size=5), st.integers(2, 12))
def test_a_prompt_is_cut_exactly_if_it_is_too_long(prompts, context):
    for prompt, messages in zip(prompts, unseen(prompts, letters, context)):
        too_long = len("".join(prompt.split())) > context - 1
        assert any("longer" in message for message in messages) == too_long


def test_clip_tokens():
    room = "a " * (viclip.CONTEXT - 2)  # beside the begin and the end
    prompts = [room, room + "dog", room[2:] + "supercalifragilistic"]
    assert warned(prompts, viclip.tokenize, 32) == [
        [],
        [
            "longer than the model's 32 tokens; cut off: dog",
            f'indistinguishable to the model from "{room}"',
        ],
        ["longer than the model's 32 tokens; cut within: supercalifragilistic"],
    ]


@pytest.mark.parametrize("prompt", ["", "naïve café — ünïcödé 😀", "走る犬", "<|endoftext|>"])
def test_odd_prompts(prompt):
    assert unseen([prompt], viclip.tokenize, 32) == [[]]


@given(st.integers(0, 40), st.integers(0, 40))
def test_fewest(most, answer):
    asked = []

    def enough(n):
        asked.append(n)
        return n >= answer

    assert fewest(most, enough) == min(most, answer)
    assert max(asked, default=0) <= max(1, min(most, 2 * answer))


@pytest.mark.parametrize("prompt", ["dog " * 50_000, "dog" * 50_000, "dog   " + "x" * 50_000])
def test_a_prompt_of_fifty_thousand_words(prompt):
    """What the search tries stays short, and so does the message."""
    lengths = []

    def tokenize(texts, context):
        lengths.append(len(texts[0]))
        return letters(texts, context)

    ((message,),) = unseen([prompt], tokenize, 8)
    assert message.startswith("longer than the model's 8 tokens; cut") and len(message) < 300
    assert sum(length > 1000 for length in lengths) <= 6
