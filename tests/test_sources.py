"""sources.py: parts as they are written, and the order of a folder's frames."""

from pathlib import Path

import numpy as np
import pytest
from conftest import refused, write
from hypothesis import given
from hypothesis import strategies as st

from trajeval.sources import Source, fragment, frames_in, plain, seconds, source_of, split_part


@pytest.mark.parametrize(
    ("text", "expected", "name"),
    [
        ("a.mp4#t=1.5,2", ("a.mp4", 1.5, 2), "a.mp4#t=1.5,2"),
        ("a.mp4#t=5", ("a.mp4", 5, None), "a.mp4#t=5"),
        ("a.mp4#t=5,", ("a.mp4", 5, None), "a.mp4#t=5"),
        ("a.mp4#t=,5", ("a.mp4", None, 5), "a.mp4#t=,5"),
        ("a.mp4#t=0,5.0", ("a.mp4", 0, 5), "a.mp4#t=0,5"),
        ("a.mp4#t=npt:010.50,100", ("a.mp4", 10.5, 100), "a.mp4#t=10.5,100"),
        ("a.mp4#t=01:02,1:00:00.25", ("a.mp4", 62, 3600.25), "a.mp4#t=62,3600.25"),
        ("a.mp4#t=00:01.1, 00:02.2", ("a.mp4", 1.1, 2.2), "a.mp4#t=1.1,2.2"),
        ("a.mp4#t=0.0000001,1000000", ("a.mp4", 1e-7, 1e6), "a.mp4#t=0.0000001,1000000"),
        ("a#t=1,2.mp4#t=3,4", ("a#t=1,2.mp4", 3, 4), "a#t=1,2.mp4#t=3,4"),
        ("a.mp4#xywh=1,2", ("a.mp4#xywh=1,2", None, None), "a.mp4#xywh=1,2"),
        ("a.mp4", ("a.mp4", None, None), "a.mp4"),
    ],
)
def test_parts(text, expected, name):
    assert split_part(text) == expected
    assert Source(*expected).name == source_of(text).name == source_of(Path(text)).name == name
    assert split_part(name) == expected
    assert Source(*expected).is_part == (expected[1:] != (None, None))


WRONG_PARTS = {
    "#t=": "#t= needs START,END in seconds, such as #t=1.5,2, #t=5 or #t=,5",
    "#t=,": "#t= needs START,END in seconds, such as #t=1.5,2, #t=5 or #t=,5",
    "#t=5,2": "#t=5,2: END must be after START",
    "#t=2,2": "#t=2,2: END must be after START",
    "#t=,0": "#t=,0: END must be after START",
    "#t=x": '"x" is not a time: write seconds, such as 1.5',
    "#t=1,2s": '"2s" is not a time: write seconds, such as 1.5',
    "#t=-1,2": '"-1" is not a time: write seconds, such as 1.5',
    "#t=1,2,3": '"2,3" is not a time: write seconds, such as 1.5',
    "#t=1e3": '"1e3" is not a time: write seconds, such as 1.5',
    "#t=nan,inf": '"nan" is not a time: write seconds, such as 1.5',
    "#t=.5": '".5" is not a time: write seconds, such as 1.5',
    "#t=1:60": '"1:60" is not a time: write seconds, such as 1.5',
    "#t=٣": '"٣" is not a time: write seconds, such as 1.5',
    "#t=" + "9" * 5000: "is not a time: write seconds, such as 1.5",
}


@pytest.mark.parametrize("part", WRONG_PARTS)
def test_wrong_parts(part):
    with pytest.raises(ValueError) as caught:
        split_part("a.mp4" + part)
    assert str(caught.value).endswith(WRONG_PARTS[part]) and len(str(caught.value)) < 300
    assert refused(source_of, "a.mp4" + part).endswith(str(caught.value))


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_every_part_is_read_back_as_it_was(a, b):
    start, end = sorted((a, b))
    if start < end:
        assert split_part("x" + fragment(start, end)) == ("x", start, end)
    assert seconds(plain(a)) == a


@pytest.mark.usefixtures("in_empty_folder")
def test_a_file_of_that_name_is_found_first():
    write("a.mp4#t=1,2")
    assert source_of("a.mp4#t=1,2") == Source("a.mp4#t=1,2")
    assert source_of("a.mp4#t=1,3") == Source("a.mp4", 1, 3)


def test_what_is_a_source():
    array = np.zeros((2, 4, 4, 3), np.uint8)
    source = source_of(array, "video 3")
    assert source.origin is array and source.path is None and source.name == "video 3"
    assert source_of(source) is source
    assert source._replace(start=1).name == "video 3#t=1"
    assert source_of(b"a\xff.mp4").path == "a\udcff.mp4"
    for wrong in (None, 3, ["a.mp4"], [array]):
        with pytest.raises(TypeError, match="expected a path or an array, got"):
            source_of(wrong)


# Folders of frames


@pytest.mark.usefixtures("in_empty_folder")
def test_frames_come_in_the_order_of_their_numbers():
    names = ["frame_2.png", "frame_10.png", "frame_1.JPG", "frame_003.webp", "a9.png", "b1.bmp"]
    for name in (*names, ".hidden_1.png", "notes.txt", "7.npy", "Thumbs.db"):
        write(f"f/{name}")
    Path("f/0.png").mkdir()
    order = ["a9.png", "b1.bmp", "frame_1.JPG", "frame_2.png", "frame_003.webp", "frame_10.png"]
    assert frames_in("f") == order


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "cover.png"], "the image cover.png has no number in its name"),
        (["a_1.png", "a_01.png"], "the images a_01.png and a_1.png have the same number"),
        (["1.png", "1.jpg"], "the images 1.jpg and 1.png have the same number"),
    ],
)
def test_frames_whose_order_is_unknown(names, message):
    for name in names:
        write(f"f/{name}")
    with pytest.raises(ValueError, match=message):
        frames_in("f")
