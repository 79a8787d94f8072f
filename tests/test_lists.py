"""What a list can hold: a line that is written means the same when it is read."""

import pytest
from conftest import write
from hypothesis import example, given
from hypothesis import strategies as st

from trajeval.inputs import UserError, read_prompts
from trajeval.lists import wrong_group, wrong_prompt

TEXTS = st.text(st.sampled_from(["a", " ", "#", "[", "]", "\n", "\r", "\0", "\x85", "\ufeff", "ö"]))


@given(TEXTS | st.just("baseline"))
@example("[a]")
@example("#a")
@example("a\x1cb")
def test_what_is_not_refused_is_read_back(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("list") / "prompts.txt"
    text = text.strip()
    write(path, f"[{text}]\n{text}\n")
    try:
        read = [(prompt.text, prompt.group) for prompt in read_prompts(path)]
    except UserError:
        read = []
    reserved = text == "baseline"
    assert (read == [(text, text)]) == (not (wrong_group(text) or wrong_prompt(text)) or reserved)


@pytest.mark.parametrize("name", ["baseline", "", "a\nb", "\ud800"])
def test_groups_that_cannot_be(name):
    assert wrong_group(name)
