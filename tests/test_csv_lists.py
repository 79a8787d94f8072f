"""Lists that are CSV tables: what is read, and what is said of each mistake."""

import csv
import time

import pytest
from conftest import write
from hypothesis import given
from hypothesis import strategies as st

from trajeval.inputs import Trajectory, read_prompts, read_trajectories
from trajeval.rows import MAX_BYTES
from trajeval.terminal import UserError

pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture
def videos():
    for name in ("a.mp4", "b, c.mp4", "v/1.mp4", "v/2.mp4"):
        write(name)


def problems(read, path):
    with pytest.raises(UserError) as caught:
        read(path)
    return caught.value.problems


def test_parts_in_columns_or_in_paths(videos):
    write("t.csv", "path,start,end\na.mp4,1.50,2\na.mp4#t=1,,\nv#t=5,,\nv/1.mp4,,4\n")
    found = read_trajectories("t.csv")
    assert [t.name for t in found] == [
        *("a.mp4#t=1.5,2", "a.mp4#t=1", "v/1.mp4#t=5", "v/2.mp4#t=5", "v/1.mp4#t=,4"),
    ]
    write("t.csv", 'path,start\na.mp4#t=1,2\n"a.mp4#t=3,1",\n')
    assert problems(read_trajectories, "t.csv") == [
        "t.csv:2: column path: has a part, #t=START,END, and so have the columns start and end: "
        "use one",
        "t.csv:3: column path: #t=3,1: END must be after START",
    ]


def test_prompts():
    write("p.csv", 'group,prompt,author\nopen,"the robot opens, slowly",me\nclose, it closes ,\n')
    notes = []
    assert read_prompts("p.csv", notes) == [
        ("the robot opens, slowly", "open", 2),
        ("it closes", "close", 3),
    ]
    assert notes == ["p.csv: columns ignored: author"]


def test_trajectories(videos):
    write(
        "t.CSV",
        "path,start,end,group,rating\n"
        "a.mp4,,2.5,open,success\n"
        '"b, c.mp4",1,,close,failure\n'
        "v,0.5,1e1,open,suboptimal\n",
    )
    found = read_trajectories("t.CSV")
    assert [(t.path, t.start, t.end, t.groups, t.rating, t.line) for t in found] == [
        ("a.mp4", None, 2.5, ("open",), "success", 2),
        ("b, c.mp4", 1, None, ("close",), "failure", 3),
        ("v/1.mp4", 0.5, 10, ("open",), "suboptimal", 4),
        ("v/2.mp4", 0.5, 10, ("open",), "suboptimal", 4),
    ]


def test_only_the_needed_column(videos):
    write("t.csv", "path\nv/*.mp4\n")
    assert read_trajectories("t.csv") == [Trajectory(f"v/{i}.mp4", (), 2) for i in (1, 2)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_are_those_of_the_file(newline, mark):
    lines = ["", "prompt,comment", '开门,"one', "", 'two"', ",,", "", 'öffne die Tür,"x"']
    write("p.csv", mark + newline.join(lines).replace(",,", ","))
    assert [(p.text, p.line) for p in read_prompts("p.csv")] == [("开门", 3), ("öffne die Tür", 8)]


def test_a_line_break_in_a_prompt_is_a_space():
    write("p.csv", 'prompt,group\n"it\nopens","the\r\ndoor"\n"a ""door""",x\n')
    assert [p[:2] for p in read_prompts("p.csv")] == [("it opens", "the door"), ('a "door"', "x")]


def test_nothing_but_commas_and_quotes_has_a_meaning(videos):
    write("#1.mp4")
    write("[1].mp4")
    write("t.csv", "path\n#1.mp4\n[1].mp4\n")
    assert [t.path for t in read_trajectories("t.csv")] == ["#1.mp4", "[1].mp4"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "t.csv: is empty: write a header and one trajectory in each row below it"),
        (",,\n\n", "t.csv: is empty"),
        ("path,group\n\n,\n", "t.csv: has no trajectory: write one in each row below the header"),
        ("path;group\na.mp4;x\n", "t.csv:1: the columns are separated by semicolons: save it with"),
        ('\n"path";"group"\n"a.mp4";"x"\n', "t.csv:2: the columns are separated by semicolons"),
        ("path\tgroup\na.mp4\tx\n", "t.csv:1: the columns are separated by tabs"),
        ("paht,group\na.mp4,x\n", "t.csv:1: no column path in the header (paht, group): rename pa"),
        (
            "group, Path\nx,a.mp4",
            "t.csv:1: no column path in the header (group, Path): rename Path",
        ),
        ("a.mp4,x\nv,y\n", "t.csv:1: no column path in the header (a.mp4, x): name the columns in"),
        ("path,group,group\na.mp4,x,y", "t.csv:1: column group: is 2 times in the header: rename"),
        ("path,Group\na.mp4,x", "t.csv:1: column Group: did you mean group? Otherwise rename it"),
        ("path,ratings\na.mp4,1", "t.csv:1: column ratings: did you mean rating?"),
        ("path,group\na.mp4\n", "t.csv:2: column group: is missing: the header has 2 cells, this "),
        ("path,group\na.mp4,x,y\n", "t.csv:2: column 3: is not in the header, which has 2 cells"),
        ("path,group\n,x\n", "t.csv:2: column path: is empty"),
        ("path,group\na.mp4,x\nv,\n", "t.csv:3: column group: is empty: in a list with groups"),
        ("path,start\na.mp4,1s\n", 't.csv:2: column start: "1s" is not a number of seconds'),
        ('path,end\na.mp4,"1,5"\n', 't.csv:2: column end: "1,5" is not a number of seconds'),
        ("path,end\na.mp4,nan\n", 't.csv:2: column end: "nan" is not a number of seconds'),
        ("path,end\na.mp4,1_0\n", 't.csv:2: column end: "1_0" is not a number of seconds'),
        ("path,start\na.mp4,-1\n", 't.csv:2: column start: "-1" is below 0'),
        ("path,start,end\na.mp4,2,2\n", "t.csv:2: column end: 2 is not after the start, 2"),
        ("path,end\na.mp4,0\n", "t.csv:2: column end: 0 is not after the start, 0"),
        (
            "path,rating\na.mp4,good\n",
            't.csv:2: column rating: "good" is not a number, nor failure, su',
        ),
        ("path,rating\na.mp4,inf\n", 't.csv:2: column rating: "inf" is not a number, nor failure'),
        ("path,rating\na.mp4,Success\n", 't.csv:2: column rating: "Success" is not a number, nor'),
        ('path,x\na.mp4,1\nv,"2\n3\n', 't.csv:3: a quote (") is opened and never closed'),
        ('path,x\na.mp4,"1"2\n', "t.csv:2: text after a closing quote: write a quote inside"),
        ("path,x\na.mp4," + "y" * 200_000, "t.csv:2: a cell has more than 131072 characters"),
        (b"path,x\na.mp4,\xe4\n", "t.csv:2: column 2: not UTF-8 (byte 0xe4): save it as UTF-8"),
        (b"x,path\n1,\xff.mp4\n", "t.csv:2: column path: not UTF-8 (byte 0xff)"),
        (b"path,\xe4\na.mp4,1\n", "t.csv:1: column 2: not UTF-8 (byte 0xe4)"),
        (b"path,x\na.mp4,1\n\nv\0,2\n", "t.csv:4: column path: has a NUL byte: save the list as"),
        ("path\na.mp4".encode("utf-16"), "t.csv: is UTF-16 text: save the list as UTF-8"),
        ("path\na.mp4".encode("utf-16-le"), "t.csv:1: column 1: has a NUL byte"),
        ("path\nnone.mp4\n", "t.csv:2: column path: no such file, folder or match: none.mp4"),
    ],
)
def test_mistakes_in_a_table(videos, content, expected):
    write("t.csv", content)
    (problem,) = problems(read_trajectories, "t.csv")
    assert problem.startswith(expected)


def test_everything_wrong_is_told_at_once(videos):
    rows = [",x,1,2", "none.mp4,x,1,2", "a.mp4,x,2,1", "a.mp4,,b,-1", "a.mp4", "a.mp4,x,1,2"]
    write("t.csv", "\n".join(["path,group,start,end", *rows]))
    assert [problem.split(": ")[:2] for problem in problems(read_trajectories, "t.csv")] == [
        ["t.csv:2", "column path"],
        ["t.csv:4", "column end"],
        ["t.csv:5", "column start"],
        ["t.csv:5", "column end"],
        ["t.csv:6", "column group"],
        ["t.csv:5", "column group"],
        ["t.csv:3", "column path"],
    ]


def test_a_list_of_the_other_kind(videos):
    write("t.csv", "path,group\na.mp4,x\n")
    assert problems(read_prompts, "t.csv") == [
        "t.csv:1: no column prompt in the header (path, group): this is a trajectory list"
    ]
    write("p.csv", "prompt,group,author\na door,x,me\n")
    assert problems(read_trajectories, "p.csv") == [
        "p.csv:1: no column path in the header (prompt, group, author): this is a prompt list"
    ]
    write("p.csv", "text,group,author\na door,x,me\n")
    assert "(text, group, author): name the columns" in problems(read_trajectories, "p.csv")[0]


def test_too_large_a_table(videos):
    with open("t.csv", "wb") as file:
        file.truncate(MAX_BYTES["trajectory"] + 1)
    assert problems(read_trajectories, "t.csv") == ["t.csv: is larger than 1024 MiB: split it"]


@given(st.binary(max_size=300), st.sampled_from([b"", b"path,group\n", b"prompt,group\n"]))
def test_any_bytes_are_read_or_refused(data, header):
    write("p.csv", header + data)
    for read in (read_prompts, read_trajectories):
        try:
            assert read("p.csv")
        except UserError as error:
            assert error.problems and all(p.startswith("p.csv") for p in error.problems)


@given(st.lists(st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0"))] * 2)))
def test_what_csv_writes_is_read(texts):
    with open("p.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("prompt", "x"), *texts])
    wanted = [text.strip() for text, other in texts if text.strip() or other.strip()]
    if not wanted or "" in wanted:
        assert problems(read_prompts, "p.csv")
    else:
        found = [" ".join(p.text.split()) for p in read_prompts("p.csv")]
        assert found == [" ".join(text.split()) for text in wanted]


def test_100_000_rows_are_read_in_seconds(videos):
    """Two seconds on a free machine; the bound is for a busy one."""
    rows = [f'a.mp4,{i},{i + 0.5},group {i % 50},success,"pick, place"' for i in range(100_000)]
    write("t.csv", "\n".join(["path,start,end,group,rating,task", *rows]))
    started = time.process_time()
    assert len(read_trajectories("t.csv")) == 100_000
    assert time.process_time() - started < 4


def test_rows_of_the_same_part_in_several_groups(videos):
    rows = ["a.mp4,0,2,x,1", "a.mp4,0,2,y,1", "a.mp4,2,4,y,", "./a.mp4,0,2.0,z,1", "a.mp4,0,2,y,1"]
    write("t.csv", "\n".join(["path,start,end,group,rating", *rows]))
    assert [(t.start, t.end, t.groups, t.rating, t.line) for t in read_trajectories("t.csv")] == [
        (0, 2, ("x", "y", "z"), 1, 2),
        (2, 4, ("y",), None, 4),
        (0, 2, ("y",), 1, 6),
    ]


def test_ratings_are_numbers_or_words(videos):
    write("t.csv", 'path,rating\na.mp4,success\nv/1.mp4,\nv/2.mp4,failure\n"b, c.mp4",1\n')
    assert problems(read_trajectories, "t.csv") == [
        "t.csv:5: column rating: is 1.0, but success in line 2: use numbers or words, not both"
    ]
    write("t.csv", "path,rating\na.mp4,1e-3\nv/1.mp4,\nv/2.mp4,-2\n")
    assert [one.rating for one in read_trajectories("t.csv")] == [0.001, None, -2]


def test_ratings_of_the_same_part_that_differ(videos):
    rows = ["a.mp4,x,success", "a.mp4,y,failure", "a.mp4,z,", "v/1.mp4,x,", "v,y,suboptimal"]
    write("t.csv", "\n".join(["path,group,rating", *rows]))
    assert problems(read_trajectories, "t.csv") == [
        f"t.csv:{line}: column rating: {what} in line {first}: the same video has one rating"
        for line, what, first in (
            (3, "is failure, but is success", 2),
            (4, "is empty, but is success", 2),
            (6, "is suboptimal, but is empty", 5),
        )
    ]
