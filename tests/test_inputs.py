"""Prompt lists and trajectory lists: what is read, and what is said of each mistake."""

import gc
import os
from pathlib import Path

import pytest
from conftest import write
from hypothesis import given
from hypothesis import strategies as st

from trajeval.finding import TRIED
from trajeval.inputs import read_prompts, read_trajectories
from trajeval.rows import MAX_LINE
from trajeval.sources import Source
from trajeval.terminal import UserError

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def problems(read, path):
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def paths(trajectories):
    return [trajectory.path for trajectory in trajectories]


def test_prompts_without_groups():
    write("p.txt", "open door\n\n  # a comment\n cut tomato \n#another\nopen door")
    prompts = read_prompts("p.txt")
    assert prompts == [("open door", None, 1), ("cut tomato", None, 4), ("open door", None, 6)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_windows_files_do_no_harm(newline, mark):
    write("p.txt", mark + newline.join(["# list", "öffne die Tür", "", "开门", ""]))
    assert [p.text for p in read_prompts("p.txt")] == ["öffne die Tür", "开门"]


def test_groups():
    write("p.txt", "[run]\na dog runs\na dog is running\n[ baseline ]\na dog\n")
    assert [(p.text, p.group) for p in read_prompts("p.txt")] == [
        ("a dog runs", "run"),
        ("a dog is running", "run"),
        ("a dog", "baseline"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ["p.txt: has no prompt: write one on each line"]),
        ("# only this\n\n", ["p.txt: has no prompt: write one on each line"]),
        ("[a]\nx\n[b]\n[c]\ny", ["p.txt:3: the group [b] is empty"]),
        ("x\n[a]\ny", ["p.txt:1: comes before the first group"]),
        ("[]\nx\n[  ]\ny", ["p.txt:1: a group needs a name", "p.txt:3: a group needs a name"]),
        ("[a]\nx\n[b]\ny\n[a]\nz", ["p.txt:5: the group [a] was already opened in line 1"]),
        (b"ok\n\xe4\xf6\nok\n\xff", ["p.txt:2: not UTF-8 (byte 0xe4)", "p.txt:4: not UTF-8"]),
        ("one\ntwo".encode("utf-16"), ["p.txt: is UTF-16 text"]),
        (b"one\nt\0wo", ["p.txt: is not a text file with one prompt on each line"]),
        (b"x" * (MAX_LINE + 1), ["p.txt: is not a text file with one prompt on each line"]),
    ],
)
def test_mistakes_in_a_list(content, expected):
    write("p.txt", content)
    found = problems(read_prompts, "p.txt")
    assert len(found) == len(expected)
    for problem, start in zip(found, expected):
        assert problem.startswith(start)


def test_lists_that_cannot_be_read():
    Path("folder").mkdir()
    assert problems(read_prompts, "none.txt") == ["none.txt: no such prompt list"]
    assert problems(read_trajectories, "none.txt") == ["none.txt: no such trajectory list"]
    assert problems(read_prompts, "folder")[0].startswith("folder: is a folder; give a text file")


def test_files_folders_and_patterns():
    for name in ("v/b.mp4", "v/a.AVI", "v/notes.txt", "v/.hidden.mp4", "v/sub/c.mp4", "odd.bin"):
        write(name)
    write("t.txt", "odd.bin\nv\nv/*.mp4\nv/**/*.mp4\n./odd.bin\n")
    assert paths(read_trajectories("t.txt")) == [
        *("odd.bin", "v/a.AVI", "v/b.mp4", "v/b.mp4"),
        *("v/b.mp4", "v/sub/c.mp4", "odd.bin"),
    ]


def test_current_folder_comes_before_the_lists_own():
    write("lists/x.mp4")
    write("lists/t.txt", "x.mp4\n*.mp4")
    assert paths(read_trajectories("lists/t.txt")) == ["lists/x.mp4", "lists/x.mp4"]
    write("x.mp4")
    assert paths(read_trajectories("lists/t.txt")) == ["x.mp4", "x.mp4"]


def test_a_lists_folder_may_look_like_a_pattern():
    write("[1] lists/a.mp4")
    write("[1] lists/t.txt", "a.*")
    assert paths(read_trajectories("[1] lists/t.txt")) == ["[1] lists/a.mp4"]


NAMES = ["a b.mp4", "it's.mp4", 'say "x".mp4', "走る.mp4", "-e.mp4", "$x_1^2$.mp4", "<b>.mp4"]


@pytest.mark.parametrize("name", [*NAMES, "take[1].mp4", "what?.mp4", "a" * 200 + ".mp4"])
def test_unusual_names(name):
    write(name)
    write("t.txt", name)
    assert paths(read_trajectories("t.txt")) == [name]


def test_every_wrong_trajectory_is_named():
    Path("empty").mkdir()
    Path("only/sub").mkdir(parents=True)
    lines = ["no.mp4", "empty", "*.avi", "only/*", "x" * 5000, "~nobody-here/x.mp4"]
    write("lists/t.txt", "\n".join(lines))
    found = problems(read_trajectories, "lists/t.txt")
    assert [problem.split(": ")[0] for problem in found] == [
        f"lists/t.txt:{n}" for n in range(1, 7)
    ]
    places = "the current folder or lists or the folder of the scripts"
    assert f"no such file, folder or match: no.mp4 (searched in {places})" in found[0]
    assert "no videos in the folder empty" in found[1]
    assert "only folders" in found[3]


def test_broken_links_are_not_lost():
    Path("v").mkdir()
    Path("v/gone.mp4").symlink_to("nowhere")
    write("t.txt", "v/gone.mp4\n")
    assert problems(read_trajectories, "t.txt") == ["t.txt:1: a broken symbolic link: v/gone.mp4"]
    write("t.txt", "v\nv/*\n")
    assert paths(read_trajectories("t.txt")) == ["v/gone.mp4"] * 2  # the run will name it


def test_pipes_are_refused_without_being_opened():
    Path("v").mkdir()
    os.mkfifo("v/pipe.mp4")
    write("t.txt", "v/pipe.mp4\nv\nv/*\n**/*.mp4\n")
    assert problems(read_trajectories, "t.txt") == [
        f"t.txt:{line}: not a regular file: v/pipe.mp4" for line in (1, 2, 3, 4)
    ]
    for read in (read_prompts, read_trajectories):
        assert problems(read, "v/pipe.mp4") == ["v/pipe.mp4: cannot be read: is not a regular file"]


def test_a_recursive_pattern_enters_each_folder_once():
    write("v/a.mp4")
    write("v/sub/b.mp4")
    write("v/.hidden/c.mp4")
    for name in ("one", "two"):
        Path(f"v/sub/{name}").symlink_to("..")
    write("t.txt", "v/**/*.mp4\n**/b.mp4\nv/**\nv/**/sub/**/b.mp4\n")
    assert paths(read_trajectories("t.txt")) == [
        *("v/a.mp4", "v/sub/b.mp4", "v/sub/b.mp4", "v/a.mp4", "v/sub/b.mp4", "v/sub/b.mp4")
    ]


def test_names_in_messages_are_safe_to_print():
    write("t.txt", "\x1b[31mred.mp4\n" + "x" * 5000)
    first, second = problems(read_trajectories, "t.txt")
    assert "\x1b" not in first and "[31mred.mp4" in first
    assert len(second) < 400


def test_the_projects_own_videos_are_found_from_anywhere():
    write("t.txt", "trajectories/cheetah_run.mp4")
    (found,) = read_trajectories("t.txt")
    assert Path(found.path).is_file()


def names(trajectories):
    return [trajectory.name for trajectory in trajectories]


def test_parts_of_files_folders_and_patterns():
    for name in ("v/a.mp4", "v/b.mp4", "c.mp4"):
        write(name)
    write(
        "t.txt",
        "[run]\nc.mp4#t=1.50,2\nc.mp4#t=5\nv#t=,5\nv/*.mp4#t=00:01,\nv/**/b.mp4#t=0,1\nc.mp4",
    )
    found = read_trajectories("t.txt")
    assert names(found) == [
        *("c.mp4#t=1.5,2", "c.mp4#t=5", "v/a.mp4#t=,5", "v/b.mp4#t=,5"),
        *("v/a.mp4#t=1", "v/b.mp4#t=1", "v/b.mp4#t=0,1", "c.mp4"),
    ]
    assert found[0].path == "c.mp4" and (found[0].start, found[0].end) == (1.5, 2)
    assert found[2].start is None and found[-1].source == Source("c.mp4")
    assert [t.line for t in found] == [2, 3, 4, 4, 5, 5, 6, 7] and found[0].groups == ("run",)


def test_a_file_whose_name_ends_like_a_part_is_found_first():
    for name in ("a.mp4", "lists/a.mp4#t=1,2", "a.mp4#t=3,4", "b.mp4#t=x"):
        write(name)
    write("lists/t.txt", "a.mp4#t=1,2\na.mp4#t=3,4\n*.mp4#t=3,4\na.mp4#t=1,3\nb.mp4#t=x")
    found = read_trajectories("lists/t.txt")
    assert names(found) == [
        *("lists/a.mp4#t=1,2", "a.mp4#t=3,4", "a.mp4#t=3,4", "a.mp4#t=1,3", "b.mp4#t=x"),
    ]
    assert [t.start for t in found] == [None, None, None, 1, None]


def test_every_wrong_part_is_named_with_its_line():
    write("a.mp4")
    write("t.txt", "a.mp4#t=5,2\na.mp4#t=x\na.mp4#t=\nno.mp4#t=1,2\na.mp4#t=1,2")
    assert problems(read_trajectories, "t.txt") == [
        "t.txt:1: #t=5,2: END must be after START",
        't.txt:2: "x" is not a time: write seconds, such as 1.5',
        "t.txt:3: #t= needs START,END in seconds, such as #t=1.5,2, #t=5 or #t=,5",
        "t.txt:4: no such file, folder or match: no.mp4 (searched in the current folder or the "
        "folder of the scripts)",
    ]


def test_a_folder_of_frames_is_one_trajectory():
    for name in ("f/frame_2.png", "f/frame_10.png", "g/1.jpg", "h/sub/x.txt", "v/a.mp4", "v/1.png"):
        write(name)
    Path("link").symlink_to("f")
    write("t.txt", "[x]\nf\nf/\nlink\nf#t=1,2\n[fg]*\nv\n?\n")
    assert names(read_trajectories("t.txt")) == [
        *("f", "f", "link", "f#t=1,2", "f", "g"),
        *("v/a.mp4", "f", "g"),  # with videos in it, the images do not count
    ]


def test_folders_without_frames_are_named():
    for name in ("a/cover.png", "b/1.png", "b/x.png", "c/1.png", "c/01.png", "d/.1.png"):
        write(name)
    write("t.txt", "a\nb\nc\nd\n[ab]*\n")
    assert problems(read_trajectories, "t.txt") == [
        "t.txt:1: a holds no videos, and the image cover.png has no number in its name, so its "
        "place is unknown",
        "t.txt:2: b holds no videos, and the image x.png has no number in its name, so its place "
        "is unknown",
        "t.txt:3: c holds no videos, and the images 01.png and 1.png have the same number",
        "t.txt:4: no videos in the folder d, and no numbered images",
        "t.txt:5: matches only folders without frames, no files: [ab]*",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_may_not_be_read():
    write("a.mp4").chmod(0)
    write("t.txt", "a.mp4")
    assert problems(read_trajectories, "t.txt") == ["t.txt:1: no permission to read a.mp4"]
    Path("t.txt").chmod(0)
    assert problems(read_trajectories, "t.txt") == ["t.txt: cannot be read: Permission denied"]


def test_groups_hold_for_all_that_a_line_means():
    for name in ("v/a.mp4", "v/b.mp4"):
        write(name)
    write("t.txt", "[run]\nv\n")
    assert [(t.groups, t.line) for t in read_trajectories("t.txt")] == [(("run",), 2)] * 2


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    write("p.txt", data)
    for read in (read_prompts, read_trajectories):
        try:
            assert read("p.txt")
        except UserError as error:
            assert error.problems and all(p.startswith("p.txt") for p in error.problems)


def test_a_file_in_several_groups_has_several_labels():
    for name in ("v/a.mp4", "v/b.mp4"):
        write(name)
    Path("link.mp4").symlink_to("v/b.mp4")
    write("t.txt", "[run]\nv\n[jump]\n./v/a.mp4\n[fly]\nlink.mp4\nv/a.mp4\n")
    assert [(t.path, t.groups, t.line) for t in read_trajectories("t.txt")] == [
        ("v/a.mp4", ("run", "jump", "fly"), 2),
        ("v/b.mp4", ("run", "fly"), 2),
    ]


def test_a_file_twice_in_one_group_is_repeated():
    write("a.mp4")
    write("t.txt", "[x]\na.mp4\na.mp4\n[y]\na.mp4\n")
    assert [(t.groups, t.line) for t in read_trajectories("t.txt")] == [
        (("x", "y"), 2),
        (("x",), 3),
    ]
    write("t.txt", "a.mp4\na.mp4\n")
    assert [(t.groups, t.line) for t in read_trajectories("t.txt")] == [((), 1), ((), 2)]


# Long lists


@pytest.fixture
def asked(monkeypatch):
    """The paths that are looked up."""
    paths = []
    monkeypatch.setattr(os, "lstat", lambda path, *, of=os.lstat: paths.append(path) or of(path))
    return paths


def test_a_file_is_looked_up_once_whatever_is_listed_of_it(asked):
    for name in ("lists/v/a.mp4", "lists/v/b.mp4"):
        write(name)
    parts = [f"v/{name}.mp4#t={i},{i + 1}" for i in range(500) for name in "ab"]
    write("lists/t.txt", "\n".join(["[x]", *parts, "[y]", *parts, "[z]", "v/a.mp4", "v/b.mp4"]))
    found = read_trajectories("lists/t.txt")
    assert len(found) == 1002 and found[0].groups == ("x", "y")
    like_parts = [path for path in asked if "#t=" in path]
    assert len(like_parts) == len(set(like_parts)) == TRIED
    others = [path for path in asked if "#t=" not in path and path.startswith(("v", "lists"))]
    assert others == ["v", "lists", "lists/v", "lists/v/a.mp4", "lists/v/b.mp4"]
    assert len({id(one.path) for one in found}) == 2
    assert len({id(one.groups) for one in found}) == 2


def test_lists_of_a_folder_share_what_they_looked_up(asked):
    write("a/v.mp4")
    for i in range(5):
        write(f"a/{i}.txt", "v.mp4")
    finders = {}
    for i in range(5):
        assert paths(read_trajectories(f"a/{i}.txt", finders=finders)) == ["a/v.mp4"]
    assert asked.count("a/v.mp4") == 1


def test_files_of_folders_are_known_from_the_folders(asked):
    for i in range(20):
        write(f"v/{i}.mp4")
    write("t.txt", "v\nv\n")
    assert len(read_trajectories("t.txt")) == 40
    assert [path for path in asked if path.startswith("v/")] == []


def test_after_many_parts_files_with_such_names_are_found(asked):
    names = ["a.mp4", "a.mp4#t=7,8", "lists/a.mp4#t=8,9", "lists/b.mp4#t=1,2"]
    for name in names:
        write(name)
    before = [f"a.mp4#t={i},{i + 0.5}" for i in range(TRIED)]
    write("lists/t.txt", "\n".join([*before, "a.mp4#t=7,8", "a.mp4#t=8,9", "*.mp4#t=1,2"]))
    *_, first, second, third = read_trajectories("lists/t.txt")
    assert [one.path for one in (first, second, third)] == names[1:]
    assert first.start is second.start is third.start is None


def test_paths_that_are_the_same_file():
    for name in ("v/a.mp4", "v/b.mp4"):
        write(name)
    Path("w").symlink_to("v")
    Path("v/l.mp4").symlink_to("a.mp4")
    lines = ["v/a.mp4", "w/a.mp4", "./v//a.mp4", "v/../v/a.mp4", os.path.abspath("v/a.mp4"), "w"]
    write("t.txt", "\n".join(lines))
    found = read_trajectories("t.txt")
    assert [one.part for one in found[:5]] == ["v/a.mp4"] * 5
    assert [(one.path, one.part) for one in found[5:]] == [
        ("w/a.mp4", "v/a.mp4"),
        ("w/b.mp4", "v/b.mp4"),
        ("w/l.mp4", "v/a.mp4"),
    ]


def test_a_file_a_thousand_times():
    write("a.mp4")
    write("t.txt", "\n".join(["[x]", *["a.mp4"] * 1000, "[y]", *["a.mp4"] * 1001]))
    found = read_trajectories("t.txt")
    assert [one.groups for one in found] == [("x", "y")] * 1000 + [("y",)]
    assert [one.line for one in found] == [*range(2, 1002), 2003]


def test_the_garbage_collector_goes_on():
    write("t.txt", "none.mp4")
    problems(read_trajectories, "t.txt")
    assert gc.isenabled()
