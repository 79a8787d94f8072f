"""LeRobot data sets: what they become, frame for frame, and what is said of each mistake."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write
from make_videos import counting_frames, frame_number, whole, write_video

import import_lerobot
from trajeval.inputs import read_prompts, read_trajectories
from trajeval.rows import read_list
from trajeval.videos import read_clips

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "tests/lerobot"  # of 9 episodes of the same lengths and tasks, see its README
LENGTHS = [20, 21, 25, 29, 12, 14, 26, 29, 16]
TASKS = ["push the red block to the left", "lift the red block", "slide the red block away"]
KEY = "observation.images.cam0"
PATHS = {
    "v2.1": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    "v3.0": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def write_info(root, version, **changes):
    """meta/info.json; changes: keys with their values, None removes one."""
    info = {
        "codebase_version": version,
        "fps": 10,
        "features": {KEY: {"dtype": "video"}, "action": {"dtype": "float32"}},
        "video_path": PATHS[version],
        "chunks_size": 1000,
    } | changes
    content = {key: value for key, value in info.items() if value is not None}
    write(f"{root}/meta/info.json", json.dumps(content))


def make_v21(root, tasks, touch=True, **info):
    """A data set in v2.1, with empty videos; tasks: a list for each episode."""
    write_info(root, "v2.1", **info)
    rows = [{"episode_index": i, "tasks": of, "length": 9} for i, of in enumerate(tasks)]
    write(f"{root}/meta/episodes.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    for i in range(len(tasks)) if touch else ():
        write(f"{root}/videos/chunk-000/{KEY}/episode_{i:06d}.mp4")
    return root


def write_table(root, columns, number=0):
    """A file of v3.0's table; columns: name -> values, those of the camera by their last part."""
    named = {
        (f"videos/{KEY}/{name}" if name[-5:] in ("index", "stamp") and i > 1 else name): values
        for i, (name, values) in enumerate(columns.items())
    }
    path = write(f"{root}/meta/episodes/chunk-000/file-{number:03d}.parquet")
    pq.write_table(pa.table(named), path)
    return path


def columns_of(n, **changes):
    """The columns of v3.0's table for n episodes of a second, in one file."""
    return {
        "episode_index": list(range(n)),
        "tasks": [["push"]] * n,
        "chunk_index": [0] * n,
        "file_index": [0] * n,
        "from_timestamp": [float(i) for i in range(n)],
        "to_timestamp": [float(i + 1) for i in range(n)],
    } | changes


def make_v30(root, n=3, info=None, **changes):
    """A data set in v3.0 of n episodes in an empty video; changes: other columns."""
    write_info(root, "v3.0", **(info or {}))
    write_table(root, columns_of(n, **changes))
    write(f"{root}/videos/{KEY}/chunk-000/file-000.mp4")
    return root


def imported(capsys, *arguments):
    """What the script says on stdout and stderr when all is well."""
    assert import_lerobot.main([*map(str, arguments)]) == 0
    return capsys.readouterr()


def problems(capsys, *arguments):
    """What the script finds wrong, in lines; nothing is written."""
    before = sorted(Path().rglob("*"))
    assert import_lerobot.main([*map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert not out and sorted(Path().rglob("*")) == before
    *lines, last = err.splitlines()
    assert re.fullmatch(r"\d+ problems? found; nothing was written", last)
    return lines


def entries(path):
    """A list's entries as (text, group)."""
    wrong = []
    found = list(read_list(Path(path), "trajectory", wrong))
    assert not wrong
    return [(row.text, row.group) for row in found]


def frames_of(entry, folder="out"):
    """The frames that an entry means: uint8 [H, W, 3] each."""
    file, _, part = entry.partition("#t=")
    start, end = map(Fraction, part.split(",")) if part else (0, 10**9)
    with av.open(str(Path(folder) / file)) as container:
        frames = list(container.decode(video=0))
    times = [(frame.pts - frames[0].pts) * frame.time_base for frame in frames]
    return [frame.to_ndarray(format="rgb24") for frame, t in zip(frames, times) if start <= t < end]


def episode_number(frame):
    """What the green bar at the top says: 6 pixels for each."""
    red, green, _ = frame[:5].mean(axis=0).T
    return round(((green > 150) & (red < 80)).sum() / 6)


# --- what they become


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_every_frame_of_an_episode_and_no_other(capsys, version):
    out, err = imported(capsys, SAMPLES / version, "-o", "out")
    assert out == f"-t out/{version}_trajectories.txt -p out/{version}_prompts.txt\n"
    assert err == "9 episodes of 3 tasks\n"
    prompts = [(p.text, p.group) for p in read_prompts(f"out/{version}_prompts.txt")]
    assert prompts == [(task, task) for task in TASKS]
    found = entries(f"out/{version}_trajectories.txt")
    order = [0, 3, 6, 1, 4, 7, 2, 5, 8]
    assert [group for _, group in found] == [TASKS[i % 3] for i in order]
    assert not any(Path(entry).is_absolute() for entry, _ in found)
    for i, (entry, _) in zip(order, found, strict=True):
        numbers = [episode_number(frame) for frame in frames_of(entry)]
        assert numbers == [i] * LENGTHS[i]


def test_the_parts_are_half_a_frame_early(capsys):
    imported(capsys, SAMPLES / "v3.0", "-o", "out", "--episodes", "0:3")
    assert [entry.partition("#")[2] for entry, _ in entries("out/v3.0_trajectories.txt")] == [
        "t=0,1.95",
        "t=1.95,4.05",
        "t=4.05,6.55",
    ]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_the_lists_are_read_frame_for_frame(capsys, version):
    """By the evaluators' own reader: all frames of each episode, and those of a few."""
    imported(capsys, SAMPLES / version, "-o", "out")
    trajectories = read_trajectories(f"out/{version}_trajectories.txt")
    assert [t.groups for t in trajectories] == [(task,) for task in TASKS for _ in range(3)]
    assert len({t.name for t in trajectories}) == 9
    sources = [trajectory.source for trajectory in trajectories]
    order = [0, 3, 6, 1, 4, 7, 2, 5, 8]
    for n in (max(LENGTHS), 8):
        for i, clip in zip(order, read_clips(sources, n, whole), strict=True):
            assert clip.length == LENGTHS[i]
            assert [episode_number(frame) for frame in clip.frames] == [i] * n


# How far the times in the table may be from those of the frames, in seconds.
@pytest.mark.parametrize("rounding", [0, 1e-3, -1e-3])
def test_several_files_cameras_and_tables(capsys, rounding):
    """Two files of 30 frames a second, whose times no decimal fraction holds; the data is in other
    files than the videos, and the second camera's episodes lie elsewhere than the first's."""
    lengths = [[7, 31, 1, 11], [13, 2, 29]]
    cameras = {"front": [(0, 4), (2, 7)], "wrist": [(1, 0), (0, 0)]}  # (chunk, file) of each
    features = {key: {"dtype": "video"} for key in cameras} | {"depth": {"dtype": "image"}}
    write_info("öl 走/set", "v3.0", fps=30, features=features)
    episode, rows, numbers = 0, [], []
    for file, of in enumerate(lengths):
        frame = 0
        for n in of:
            row = {"episode_index": episode, "tasks": [f"task {episode % 2}"], "length": n}
            row |= {"data/chunk_index": 9, "data/file_index": 99}
            for key, places in cameras.items():
                row |= {
                    f"videos/{key}/chunk_index": places[file][0],
                    f"videos/{key}/file_index": places[file][1],
                    f"videos/{key}/from_timestamp": max(0, frame / 30 + rounding),
                    f"videos/{key}/to_timestamp": (frame + n) / 30 + rounding,
                }
            rows.append(row)
            numbers.append(list(range(frame, frame + n)))
            frame, episode = frame + n, episode + 1
        for key, places in cameras.items():
            chunk, number = places[file]
            path = write(f"öl 走/set/videos/{key}/chunk-{chunk:03d}/file-{number:03d}.mp4")
            write_video(path, counting_frames(frame), fps=30)
    for chunk, of in enumerate((rows[:2], rows[2:5], rows[5:])):
        path = write(f"öl 走/set/meta/episodes/chunk-{chunk:03d}/file-000.parquet")
        pq.write_table(pa.Table.from_pylist(of), path)

    (line,) = problems(capsys, "öl 走/set", "-o", "out")
    info = "öl 走/set/meta/info.json"
    assert line == f"{info}: has 2 cameras: choose one with --camera: front, wrist"
    (line,) = problems(capsys, "öl 走/set", "-o", "out", "--camera", "depth")
    assert line == f"{info}: --camera depth: not one of its cameras: front, wrist"
    for key, names in (
        ("front", ["000/file-004", "002/file-007"]),
        ("wrist", ["001/file-000", "000/file-000"]),
    ):
        imported(capsys, "öl 走/set", "-o", "out", "--camera", key)
        found = entries("out/set_trajectories.txt")
        order = [0, 2, 4, 6, 1, 3, 5]
        assert [group for _, group in found] == ["task 0"] * 4 + ["task 1"] * 3
        for i, (entry, _) in zip(order, found, strict=True):
            name = f"../öl 走/set/videos/{key}/chunk-{names[i > 3]}.mp4#t="
            assert entry.startswith(name)
            assert list(map(frame_number, frames_of(entry))) == numbers[i]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--episodes", "0:5"], [0, 2, 4, 1, 3]),
        (["--episodes", "3:"], [3, 5, 4]),
        (["--episodes", ":2"], [0, 1]),
        (["--episodes", "4"], [4]),
        (["--episodes=4:6"], [4, 5]),
        (["--max-per-task", "1"], [0, 1]),
        (["--max-per-task", "2", "--episodes", "1:"], [1, 3, 2, 4]),
        (["--max-per-task", "999999999"], [0, 2, 4, 1, 3, 5]),
    ],
)
def test_which_episodes(capsys, arguments, expected):
    make_v21("set", [["a"], ["b"]] * 3)
    _, err = imported(capsys, "set", "-o", "out", *arguments)
    groups = len({i % 2 for i in expected})
    n = len(expected)
    assert err == f"{n} episode{'s' * (n > 1)} of {groups} task{'s' * (groups > 1)}\n"
    found = [int(re.search(r"_(\d+)\.mp4", entry)[1]) for entry, _ in entries(listed("set"))]
    assert found == expected
    assert len(read_prompts("out/set_prompts.txt")) == groups


def listed(name):
    return f"out/{name}_trajectories.txt"


def test_chunks_of_v21(capsys):
    make_v21("set", [["a"]] * 5, touch=False, chunks_size=2)
    for i in range(5):
        write(f"set/videos/chunk-{i // 2:03d}/{KEY}/episode_{i:06d}.mp4")
    imported(capsys, "set", "-o", "out")
    chunks = [re.search(r"chunk-(\d+)", entry)[1] for entry, _ in entries(listed("set"))]
    assert chunks == ["000", "000", "001", "001", "002"]


def test_tasks_that_are_equal_in_a_list_are_one_group(capsys):
    tasks = [
        ["push [the] block"],
        [" push [the] block\t"],
        ["#1"],
        ["say 'a', \"b\" ö"],
        ["x", "x "],
    ]
    make_v21("set", tasks)
    imported(capsys, "set", "-o", "out", "--episodes", "0:2")
    assert [group for _, group in entries(listed("set"))] == ["push [the] block"] * 2
    _, err = imported(capsys, "set", "-o", "out", "--episodes", "3:")
    assert err == "2 episodes of 2 tasks\n"
    assert [p.text for p in read_prompts("out/set_prompts.txt")] == ["say 'a', \"b\" ö", "x"]


def test_an_episode_with_several_tasks_has_several_labels(capsys):
    make_v21("set", [["a"], ["a", "b", " a "], ["b"]])
    _, err = imported(capsys, "set", "-o", "out")
    assert err == "3 episodes of 2 tasks\n"
    found = read_trajectories(listed("set"))
    assert [trajectory.groups for trajectory in found] == [("a",), ("a", "b"), ("b",)]
    _, err = imported(capsys, "set", "-o", "out", "--max-per-task", "1")
    assert err == "2 episodes of 2 tasks\n"


def test_the_lists_lead_to_the_videos_from_any_folder(capsys, monkeypatch):
    make_v21("~data #1/[set]", [["a"], ["b"]])
    imported(capsys, "~data #1/[set]", "-o", "~data #1")
    videos = [Path(f"~data #1/[set]/videos/chunk-000/{KEY}/episode_{i:06d}.mp4") for i in (0, 1)]
    for folder in (".", "elsewhere"):
        Path(folder).mkdir(exist_ok=True)
        base = Path.cwd()
        monkeypatch.chdir(folder)
        for (entry, _), video in zip(entries(base / "~data #1/[set]_trajectories.txt"), videos):
            assert entry == f"./{video.relative_to('~data #1')}"
            assert (base / "~data #1" / entry).samefile(base / video)
        monkeypatch.chdir(base)


def test_a_video_of_that_name_in_the_current_folder(capsys):
    make_v21("sets/videos", [["a"]])
    imported(capsys, "sets/videos", "-o", "sets")
    assert entries("sets/videos_trajectories.txt")[0][0].startswith("videos/")
    make_v21("videos", [["a"]])  # is found first, from here
    imported(capsys, "sets/videos", "-o", "sets")
    assert entries("sets/videos_trajectories.txt")[0][0].startswith(str(Path.cwd()))


def test_a_hundred_thousand_episodes(capsys):
    n = 100_000
    make_v30("set", n, tasks=[[f"task {i % 50}"] for i in range(n)])
    start = time.perf_counter()
    imported(capsys, "set", "-o", "out")
    assert time.perf_counter() - start < 10  # about 1 on an idle core
    assert len(entries(listed("set"))) == n


# --- the Hub


def run_with_hub(address, *arguments, **environment):
    """The script in a process of its own, as the Hub's settings are read at start."""
    variables = {key: value for key, value in os.environ.items() if key[:3] != "HF_"}
    return subprocess.run(
        [sys.executable, ROOT / "import_lerobot.py", *arguments],
        env=variables
        | {"HF_ENDPOINT": address, "HF_HOME": str(Path("hub").resolve())}
        | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_data_set_of_the_hub(capsys):
    """Only the files needed are fetched, once; then the network is not needed."""
    shutil.copytree(SAMPLES / "v2.1", "served/datasets/test/blocks")
    command = ["test/blocks", "-o", "out", "--episodes", "3:5"]
    with hub.serve(Path("served")) as (address, requests):
        done = run_with_hub(address, *command)
        assert done.returncode == 0, done.stderr
        assert done.stderr.endswith("2 episodes of 2 tasks\n")
        assert done.stdout == "-t out/blocks_trajectories.txt -p out/blocks_prompts.txt\n"
        fetched = {path.partition(hub.COMMIT)[2] for method, path, _ in requests if method == "GET"}
        videos = f"/videos/chunk-000/{KEY}/episode_00000"
        assert {name for name in fetched if name[:1] == "/"} == {
            *("/meta/info.json", "/meta/episodes.jsonl", f"{videos}3.mp4", f"{videos}4.mp4"),
        }
        again = run_with_hub(address, *command, HF_HUB_OFFLINE="1")
        assert again.returncode == 0, again.stderr
    for i, (entry, _) in zip((3, 4), entries(listed("blocks"))):
        assert [episode_number(frame) for frame in frames_of(entry)] == [i] * LENGTHS[i]


def test_what_the_hub_does_not_have():
    shutil.copytree(SAMPLES / "v3.0", "served/datasets/test/blocks")
    shutil.rmtree("served/datasets/test/blocks/videos")
    write("served/datasets/test/text/README.md", "no data set of a robot")
    with hub.serve(Path("served")) as (address, _):
        for name, *expected in (
            ("test/blocks", f"/videos/{KEY}/chunk-000/file-000.mp4: no such file (episode 0 and 8"),
            ("test/text", "test/text: not a LeRobot data set: it has no meta/info.json"),
            (
                "test/none",
                "test/none: no such folder, and the data set of that name on the Hub could",
                "the Hub has no such repository",
            ),
        ):
            done = run_with_hub(address, name, "-o", "out")
            assert done.returncode == 2 and not done.stdout and not os.path.exists("out")
            assert "Traceback" not in done.stderr
            assert all(part in done.stderr for part in expected), done.stderr


def test_nothing_is_fetched_for_a_wrong_command_line_or_wrong_tasks(capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("fetched")

    monkeypatch.setattr("huggingface_hub.snapshot_download", never)
    assert len(problems(capsys, "test/blocks", "--max-per-task", "0")) == 2
    wanted = []
    make_v21("snapshot", [["a"], [""]])

    def snapshot(name, allow_patterns, **_):
        wanted.append(allow_patterns)
        return "snapshot"

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    (line,) = problems(capsys, "test/blocks", "-o", "out")
    assert line.startswith("snapshot: the task '' is empty (episode 1)")
    assert wanted == [["meta/info.json"], ["meta/episodes.jsonl"]]
    imported(capsys, "test/blocks", "-o", "out", "--episodes", "0")
    assert wanted[-1] == [f"videos/chunk-000/{KEY}/episode_000000.mp4"]


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["set"], ["-o FOLDER is missing"]),
        (["set", "-o", ""], ["--output-dir '': takes a path"]),
        (["", "-o", "out"], ["DATASET takes a path"]),
        (
            ["gone", "-o", "out"],
            ["gone: no such folder, nor a name on the Hub, which is OWNER/NAME"],
        ),
        (["../gone", "-o", "out"], ["../gone: no such folder, nor a name on the Hub"]),
        (["set/meta/info.json", "-o", "out"], ["set/meta/info.json: not a folder: give the one"]),
        (
            ["set/videos", "-o", "out"],
            ["set/videos: not a LeRobot data set: it has no meta/info.js"],
        ),
        (["/", "-o", "out"], ["/: the lists are named after", "/: not a LeRobot data set"]),
        (["set", "-o", "file"], ["--output-dir file: file is a file, not a folder"]),
        (["set", "-o", "taken"], ["taken/set_prompts.txt: a folder is in the place of a list"]),
        (
            ["set", "-o", "out", "--camera", "x"],
            ["set/meta/info.json: --camera x: not one of its"],
        ),
        (["set", "-o", "out", "--camera"], ["argument --camera: expected one argument"]),
        (["set", "-o", "out", "more"], ['unexpected argument "more"']),
        (
            ["set", "-o", "out", "--cameras", "x"],
            ["unknown option --cameras: did you mean --camera"],
        ),
        *(
            (
                ["set", "-o", "out", "--episodes", text],
                [f"--episodes {text or repr(text)}: takes FIRST:END, such"],
            )
            for text in ("", ":", "a", "1,2", "0:1:2", "1.5", "0:٣", " 1", "-1", "1" * 12)
        ),
        *(
            (["set", "-o", "out", f"--episodes={text}"], [f"--episodes {text}: selects no episode"])
            for text in ("2:2", "3:1", ":0")
        ),
        (
            ["set", "-o", "out", "--episodes", "0:4"],
            ["--episodes: 3 is not an episode: the data se"],
        ),
        (
            ["set", "-o", "out", "--episodes", "3"],
            ["--episodes: 3 is not an episode: the data set"],
        ),
        (
            ["set", "-o", "out", "--episodes", "7:"],
            ["--episodes: 7 is not an episode: the data set"],
        ),
        (["set", "-o", "out", "--max-per-task", "0"], ["--max-per-task 0: takes a whole number"]),
        (
            ["set", "-o", "file", "--episodes", "x", "--max-per-task", "x", "--camera", "x"],
            [
                "--episodes x",
                "--max-per-task x",
                "--output-dir file",
                "set/meta/info.json: --camera",
            ],
        ),
    ],
)
def test_wrong_command_lines(capsys, arguments, expected):
    make_v21("set", [["a"]] * 3)
    write("file")
    write("taken/set_prompts.txt/x")
    if arguments[-1] == "--camera":
        assert import_lerobot.main(arguments) == 2  # argparse stops at once
        found = capsys.readouterr().err.splitlines()
    else:
        found = problems(capsys, *arguments)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


OBJECT = {"a": 1}


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"codebase_version": "v2.0"}, ["codebase_version is 'v2.0'; v2.1 and v3.0 can be read"]),
        ({"codebase_version": None}, ["codebase_version is missing; v2.1 and v3.0 can be read"]),
        ({"codebase_version": OBJECT}, ["codebase_version is {'a': 1}; v2.1 and v3.0 can be read"]),
        ({"fps": None}, ["fps is missing, not a number above 0"]),
        ({"fps": 0}, ["fps is 0, not a number above 0"]),
        (
            {"fps": float("nan"), "features": 1},
            ["fps is nan, not a", "features is 1, not an object"],
        ),
        ({"fps": True}, ["fps is True, not a number above 0"]),
        ({"features": None}, ["features is missing, not an object"]),
        ({"features": {}}, ['has no feature of the dtype "video"']),
        ({"features": {"a": 1}}, ['has no feature of the dtype "video"']),
        (
            {"features": {"top": {"dtype": "image"}, "left": {"dtype": "image"}}},
            ['has no feature of the dtype "video", only images (top, left): convert them'],
        ),
        ({"video_path": None}, ["video_path is missing, not a path"]),
        ({"video_path": 3}, ["video_path is 3, not a path"]),
        (
            {"video_path": "videos/{video_key}.mp4"},
            ["video_path 'videos/{video_key}.mp4': does not"],
        ),
    ],
)
def test_wrong_info(capsys, version, changes, expected):
    (make_v21("set", [["a"]]) if version == "v2.1" else make_v30("set"))
    write_info("set", version, **changes)
    found = problems(capsys, "set", "-o", "out")
    expected = [f"set/meta/info.json: {start}" for start in expected]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ": not a JSON object"),
        (b"[]", ": not a JSON object"),
        (b'{"a": ', ": not a JSON object"),
        (b"[" * 100_000, ": not a JSON object"),
        (b"1" * 5000, ": not a JSON object"),
        (b'{\n"\xff"', ": not UTF-8"),
        (b" " * (1 << 24) + b"{}", ": larger than 16 MB"),
    ],
)
def test_damaged_info(capsys, content, expected):
    make_v21("set", [["a"]])
    write("set/meta/info.json", content)
    (line,) = problems(capsys, "set", "-o", "out")
    assert line.startswith(f"set/meta/info.json{expected}")


def test_pipes_folders_and_closed_files_in_place_of_the_table(capsys):
    make_v21("set", [["a"]])
    make_v30("new")
    for path in (
        Path("set/meta/episodes.jsonl"),
        Path("new/meta/episodes/chunk-000/file-000.parquet"),
        Path("set/meta/info.json"),
    ):
        path.unlink()
        os.mkfifo(path)
        (line,) = problems(capsys, path.parts[0], "-o", "out")
        assert line == f"{path}: cannot be read: is not a regular file"
        path.unlink()
        path.mkdir()
        (line,) = problems(capsys, path.parts[0], "-o", "out")
        assert line == f"{path}: cannot be read: is a folder"
        path.rmdir()
        path.symlink_to("nowhere")
        (line,) = problems(capsys, path.parts[0], "-o", "out")
        assert line == f"{path}: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "template",
    [
        "../../etc/{episode_index}",
        "/etc/{episode_index}",
        "videos/../../{episode_index}",
        "..\\..\\{episode_index}",
        "C:/{episode_index}",
        "{video_key}/{episode_index}",  # of the camera that the test calls "../x"
        "\0{episode_index}",
    ],
)
def test_paths_that_lead_out_of_the_data_set_are_not_followed(capsys, template):
    features = {"../x": {"dtype": "video"}}
    make_v21("a/b/set", [["a"]], video_path=template, features=features)
    for place in ("etc/0", "a/b/x/0", "a/b/0", "a/0"):
        write(place)
    (line,) = problems(capsys, "a/b/set", "-o", "out")
    assert line.startswith("a/b/set/meta/info.json: video_path ")
    assert line.endswith(" with the camera '../x': leads out of the data set")


@pytest.mark.parametrize(
    "template",
    [
        "{episode_index.__class__}",
        "{episode_index[0]}",
        "{episode_index!r}",
        "{episode_index:0999999999d}",
        "{episode_index:{episode_chunk}}",
        "{video_key:99999999}{episode_index}",
        "{file_index}{episode_index}",
        "{}{episode_index}",
        "{episode_index",
        "}{episode_index}",
    ],
)
def test_templates_may_only_name_numbers(capsys, template):
    make_v21("set", [["a"]], video_path=template)
    (line,) = problems(capsys, "set", "-o", "out")
    assert line.startswith(f"set/meta/info.json: video_path '{template}': ")
    assert line.endswith(": not a template of v2.1")


def test_braces_in_paths_and_cameras_are_theirs(capsys):
    features = {"{0}": {"dtype": "video"}}
    make_v21("set", [["a"]], features=features, video_path="{{x}}/{video_key}/{episode_index:d}")
    write("set/{x}/{0}/0")
    imported(capsys, "set", "-o", "out")
    assert entries(listed("set")) == [("../set/{x}/{0}/0", "a")]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("push\nit", "has a line break in it"),
        ("push\rit", "has a line break in it"),
        ("push\0it", "has a null character in it"),
        ("push \ud800", "is not valid Unicode"),
        ("#1: push", "begins with #"),
        (" [push] ", "is in brackets"),
        ("baseline", "is the name of the group of neutral prompts"),
    ],
)
def test_tasks_that_no_list_can_hold(capsys, task, why):
    make_v21("set", [["a"], [task], [task], ["#b"], []][: 5 if task.strip() else 4])
    found = problems(capsys, "set", "-o", "out")
    assert found[0].startswith(f"set: the task {task.strip()!r} {why}")
    assert "(episode 1 and 1 more): rename it in the data set, or take other episodes" in found[0]
    assert found[1].startswith("set: the task '#b' begins with #")
    assert (len(found) == 3) == bool(task.strip())  # an episode without a task has an empty one
    imported(capsys, "set", "-o", "out", "--episodes", "0")


def test_missing_videos_are_all_named(capsys):
    make_v21("set", [["a"], ["#b"], ["a"], ["a"]])
    folder = Path(f"set/videos/chunk-000/{KEY}")
    (folder / "episode_000000.mp4").unlink()
    (folder / "episode_000002.mp4").unlink()
    (folder / "episode_000002.mp4").mkdir()
    (folder / "episode_000003.mp4").unlink()
    (folder / "episode_000003.mp4").symlink_to("nowhere")
    task, *found = problems(capsys, "set", "-o", "out")
    assert task.startswith("set: the task '#b'")
    assert found == [
        f"{folder}/episode_000000.mp4: no such file (episode 0)",
        f"{folder}/episode_000002.mp4: a folder, not a video (episode 2)",
        f"{folder}/episode_000003.mp4: no such file (episode 3)",
    ]
    make_v21("many", [["a"]] * 15, touch=False)
    assert import_lerobot.main(["many", "-o", "out"]) == 2
    *found, more, last = capsys.readouterr().err.splitlines()
    assert len(found) == 10 and more == "... and 5 more problems in the data set"
    assert last == "15 problems found; nothing was written"
    make_v30("new")
    os.unlink(f"new/videos/{KEY}/chunk-000/file-000.mp4")
    (line,) = problems(capsys, "new", "-o", "out")
    assert line == f"new/videos/{KEY}/chunk-000/file-000.mp4: no such file (episode 0 and 2 more)"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("", []),
        ("{", ["not a JSON object"]),
        ("3", ["not a JSON object"]),
        ("{}", ["has no episode_index, has no tasks"]),
        ('{"episode_index": -1, "tasks": ["a"]}', ["episode_index is -1, not an index"]),
        ('{"episode_index": true, "tasks": ["a"]}', ["episode_index is True, not an index"]),
        ('{"episode_index": 1.0, "tasks": ["a"]}', ["episode_index is 1.0, not an index"]),
        ('{"episode_index": 5, "tasks": "a"}', ["tasks is 'a', not a list of texts"]),
        ('{"episode_index": 5, "tasks": [3]}', ["tasks is [3], not a list of texts"]),
        ('{"episode_index": 0, "tasks": ["a"]}', ["the episode 0 is there twice"]),
    ],
)
def test_wrong_rows_of_v21(capsys, row, expected):
    make_v21("set", [["a"]])
    with open("set/meta/episodes.jsonl", "a", newline="") as file:
        file.write(f"\r\n{row}\r\n")
    if not expected:
        imported(capsys, "set", "-o", "out")
        return
    (line,) = problems(capsys, "set", "-o", "out")
    assert line.startswith(f"set/meta/episodes.jsonl:3: {expected[0]}")


NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"episode_index": [0, None, 1]}, ["2: has no episode_index"]),
        ({"episode_index": [0, 0, 1]}, ["2: the episode 0 is there twice"]),
        (
            {"episode_index": ["0", "1", "2"]},
            [f"{i + 1}: episode_index is '{i}'" for i in range(3)],
        ),
        ({"tasks": ["a", "b", "c"]}, [f"{i + 1}: tasks is '{'abc'[i]}', not" for i in range(3)]),
        ({"tasks": [["a"], None, ["b"]]}, ["2: has no tasks"]),
        (
            {"chunk_index": [0, None, -1]},
            [f"2: has no videos/{KEY}/chunk", f"3: videos/{KEY}/chunk"],
        ),
        (
            {"from_timestamp": [0.0, NAN, -1.0]},
            [f"2: videos/{KEY}/from_timestamp is nan", "3: video"],
        ),
        (
            {"to_timestamp": [1.0, 1.0, 3.0]},
            ["2: the episode 1 has no frame: it is from 1.0 to 1.0"],
        ),
        (
            {"to_timestamp": [1.0, 0.5, 3.0]},
            ["2: the episode 1 has no frame: it is from 1.0 to 0.5"],
        ),
        ({"to_timestamp": [1.0, 2.0, float("inf")]}, [f"3: videos/{KEY}/to_timestamp is inf"]),
    ],
)
def test_wrong_rows_of_v30(capsys, changes, expected):
    make_v30("set", **changes)
    found = problems(capsys, "set", "-o", "out")
    expected = [f"set/meta/episodes/chunk-000/file-000.parquet: row {start}" for start in expected]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_wrong_tables(capsys):
    make_v30("set")
    table = Path("set/meta/episodes/chunk-000/file-000.parquet")
    good = table.read_bytes()
    for content in (b"", b"PAR1", good[:-20], good[:4] + b"\xff" * 20 + good[24:], b"{}" * 999):
        table.write_bytes(content)
        (line,) = problems(capsys, "set", "-o", "out")
        assert line == f"{table}: damaged, or not a Parquet file: download it again"
    pq.write_table(pa.table({"episode_index": [0], f"videos/{KEY}/file_index": [0]}), table)
    (line,) = problems(capsys, "set", "-o", "out")
    names = ("chunk_index", "from_timestamp", "to_timestamp")
    names = ["tasks", *(f"videos/{KEY}/{name}" for name in names)]
    assert line == f"{table}: has no column {', '.join(names)}"
    table.unlink()
    (line,) = problems(capsys, "set", "-o", "out")
    assert line == "set: no files meta/episodes/chunk-*/file-*.parquet"
    write_table("set", columns_of(0, tasks=pa.array([], pa.list_(pa.string()))))
    (line,) = problems(capsys, "set", "-o", "out")
    assert line == "set: the data set has no episodes"
    make_v21("old", [])
    assert problems(capsys, "old", "-o", "out") == ["old: the data set has no episodes"]
    os.unlink("old/meta/episodes.jsonl")
    (line,) = problems(capsys, "old", "-o", "out")
    assert line == "old/meta/episodes.jsonl: cannot be read: No such file or directory"


def test_all_that_is_wrong_with_a_table_of_several_files(capsys):
    make_v30("set", 2)
    write_table("set", columns_of(2, episode_index=[4, 4]), 2)
    write("set/meta/episodes/chunk-000/file-001.parquet", "cut")
    folder = "set/meta/episodes/chunk-000"
    assert problems(capsys, "set", "-o", "out") == [
        f"{folder}/file-001.parquet: damaged, or not a Parquet file: download it again",
        f"{folder}/file-002.parquet: row 2: the episode 4 is there twice",
    ]


@pytest.mark.parametrize("make", [lambda: make_v21("set", [["a"]] * 3), lambda: make_v30("set")])
def test_a_table_of_which_a_part_is_missing(capsys, make):
    make()
    version = json.loads(Path("set/meta/info.json").read_text())["codebase_version"]
    write_info("set", version, total_episodes=5)
    (line,) = problems(capsys, "set", "-o", "out")
    assert line.startswith("set: meta/info.json counts 5 episodes, the table has only 3: ")
    write_info("set", version, total_episodes=3)
    imported(capsys, "set", "-o", "out")


def test_episodes_that_are_not_there(capsys):
    make_v30("set", episode_index=[2, 7, 9])
    _, err = imported(capsys, "set", "-o", "out", "--episodes", "3:10")
    assert err == "2 episodes of 1 task\n"
    (line,) = problems(capsys, "set", "-o", "new", "--episodes", "3:7")
    assert line == "--episodes: the data set has no episode with these indices"


def test_without_pyarrow(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (line,) = problems(capsys, SAMPLES / "v3.0", "-o", "out")
    assert line.startswith('the package "pyarrow", which reads the format v3.0, is not installed: ')
    assert "`uv run --extra lerobot import_lerobot.py ...`" in line
    imported(capsys, SAMPLES / "v2.1", "-o", "out")


def test_lists_too_large_to_be_read_again(capsys, monkeypatch):
    make_v21("set", [["a"]] * 3)
    monkeypatch.setitem(import_lerobot.MAX_BYTES, "trajectory", 100)
    (line,) = problems(capsys, "set", "-o", "out")
    assert line.startswith("the trajectory list would be larger than 0 MB: take fewer episodes")


def test_nothing_is_left_of_a_failed_write(capsys, monkeypatch):
    make_v21("set", [["a"]])
    old = write("out/set_trajectories.txt", "old")

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert import_lerobot.main(["set", "-o", "out"]) == 1
    assert "could not be written: No space left on device" in capsys.readouterr().err
    assert os.listdir("out") == [old.name] and old.read_text() == "old"


def test_ctrl_c_while_the_videos_are_fetched(capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.snapshot_download", interrupt)
    assert import_lerobot.main(["test/set", "-o", "out"]) == 130
    assert capsys.readouterr() == ("", "\ninterrupted; nothing was written\n")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, import_lerobot\n"
        "try: import_lerobot.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and not done.stderr
    for option in ("DATASET", "--camera KEY", "--episodes FIRST:END", "--max-per-task N"):
        assert option in done.stdout
