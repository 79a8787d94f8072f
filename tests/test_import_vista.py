"""ViSTa problem sets: the lists they become, and the message for each mistake."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from conftest import hear_ctrl_c, write
from hypothesis import example, given
from hypothesis import strategies as st

import import_vista
from trajeval.inputs import read_prompts, read_trajectories
from trajeval.terminal import UserError

ROOT = Path(__file__).parent.parent
VISTA = ROOT / "tests/vista"
GOOD = "label_prompts:\n  open: a door opens\n  shut: a door closes\n"

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def write_set(task, content=GOOD, videos=(("a.mp4", "open"), ("b.mp4", "shut")), touch=True):
    """A problem set at the path `task`, its videos beside it."""
    path = write(f"{task}.yaml", content)
    items = [{"path": name, "label": label} for name, label in videos]
    write(f"{task}_data.json", json.dumps(items))
    for name, _ in videos if touch else ():
        write(path.parent / name)
    return str(path)


def read_back(folder, task):
    """(prompts, videos) as the evaluators read them, each with its group."""
    prompts = [(p.text, p.group) for p in read_prompts(Path(folder) / f"{task}_prompts.txt")]
    found = read_trajectories(Path(folder) / f"{task}_trajectories.txt")
    return prompts, [(os.path.realpath(v.path), group) for v in found for group in v.groups]


def real(*videos):
    return [(os.path.realpath(path), label) for path, label in videos]


def test_from_the_command_line():
    videos = [("v/1.mp4", "shut"), ("v/2.mp4", "open"), ("v/3.mp4", "shut")]
    more = "  none: nothing happens\nprompt_baseline: a door\nprompt_gpt: |\n  Look.\n  Well.\n"
    doors = write_set("sets/doors", GOOD + more, videos)
    taps = write_set("sets/taps", "{label_prompts: {label_0: ' the tap is on '}}", [])
    items = [{"path": "sets/v/1.mp4", "label": "label_0", "source": {"a": 1}}]
    write("sets/taps_data.json", "\ufeff" + json.dumps(items))  # from the current folder
    command = [sys.executable, ROOT / "import_vista.py", doors, taps, "-o", "my lists/new"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "-t 'my lists/new/doors_trajectories.txt' -p 'my lists/new/doors_prompts.txt'",
        "-t 'my lists/new/taps_trajectories.txt' -p 'my lists/new/taps_prompts.txt'",
    ]
    note = "no video has the label 'none': its prompt is kept as a wrong answer"
    assert done.stderr == f"sets/doors_data.json: {note}\n"
    assert len(os.listdir("my lists/new")) == 4
    assert read_back("my lists/new", "doors") == (
        [
            *(("a door opens", "open"), ("a door closes", "shut"), ("nothing happens", "none")),
            ("a door", "baseline"),
        ],
        real(("sets/v/2.mp4", "open"), ("sets/v/1.mp4", "shut"), ("sets/v/3.mp4", "shut")),
    )
    assert read_back("my lists/new", "taps") == (
        [("the tap is on", "label_0")],
        real(("sets/v/1.mp4", "label_0")),
    )
    assert "../../sets/v/2.mp4\n" in Path("my lists/new/doors_trajectories.txt").read_text()


def test_every_problem_is_reported_and_nothing_is_written(capsys):
    one = write_set("one", GOOD.replace("shut", "baseline"), touch=False)
    two = write_set("two/two", "label_prompts: [a, b]")
    again = write("one.yml", "label_prompts:\n  a: b: c")
    write("out", "a file")
    assert import_vista.main([one, two, "four.yaml", str(again), "-o", "out/lists"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "one.yaml:3: the label 'baseline' is the name of the group of neutral prompts: rename it",
        "one_data.json: entry 1: no such video: 'a.mp4' (looked in .; see --video-dir)",
        "one_data.json: entry 2: no such video: 'b.mp4' (looked in .; see --video-dir)",
        "one_data.json: entry 2: the label 'shut' has no prompt in label_prompts: add one, or "
        "correct the label",
        "two/two.yaml:1: label_prompts takes lines of the form label: prompt",
        "four.yaml: no such file: a problem set is TASK.yaml with TASK_data.json beside it",
        "four_data.json: no such file: a problem set is TASK.yaml with TASK_data.json beside it",
        "one.yml: would overwrite out/lists/one_prompts.txt of another set: rename it",
        "one.yml:2: not YAML of a problem set: mapping values are not allowed here",
        "one_data.json: entry 1: no such video: 'a.mp4' (looked in .; see --video-dir)",
        "... and 3 more problems",
        "13 problems found; nothing was written",
    ]
    assert not list(Path().rglob("*.txt"))


def test_sets_of_the_same_name_mirror_their_folders(capsys):
    """As in the data set, whose sets of different folders have the same names."""
    for folder in ("clean", "heat/twice"):
        video = f"foundation/{folder}/apple/1.mp4"
        write_set(f"alfred/{folder}/apple", GOOD, [(video, "open"), (video, "shut")], touch=False)
        write(f"videos/{video}")
    tasks = ["alfred/clean/apple.yaml", "alfred/heat/twice/apple.yaml"]
    assert import_vista.main([*tasks, "-o", "out", "--video-dir", "videos"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"-t out/{folder}/apple_trajectories.txt -p out/{folder}/apple_prompts.txt"
        for folder in ("clean", "heat/twice")
    ]
    for folder in ("clean", "heat/twice"):
        video = f"videos/foundation/{folder}/apple/1.mp4"
        assert read_back(f"out/{folder}", "apple")[1] == real((video, "open"), (video, "shut"))


def test_a_video_with_several_labels_is_in_several_groups():
    videos = [("1.mp4", "open, shut"), ("2.mp4", "shut"), ("3.mp4", "shut,open,shut")]
    more = "  'a,b': both\n  b: one\n"
    videos += [("4.mp4", "a,b"), ("5.mp4", "b,a,b"), ("6.mp4", " b ")]
    task = write_set("t", f"{GOOD}  a: a\n{more}", videos)
    assert import_vista.main([task, "-o", "out"]) == 0
    found = {
        Path(video.path).name: video.groups for video in read_trajectories("out/t_trajectories.txt")
    }
    assert found == {
        **{"1.mp4": ("open", "shut"), "2.mp4": ("shut",), "3.mp4": ("open", "shut")},
        **{"4.mp4": ("a,b",), "5.mp4": ("a", "b"), "6.mp4": ("b",)},
    }


def test_the_sets_of_vista_itself(capsys):
    """All that are in tests/vista, in the folders that they have there."""
    data = {path: json.loads(path.read_text()) for path in VISTA.rglob("*_data.json")}
    for item in (item for items in data.values() for item in items):
        write(f"videos/{item['path']}")
    assert import_vista.main([str(VISTA), "-o", "out", "--video-dir", "videos"]) == 0
    out, err = capsys.readouterr()
    template = VISTA / "real_life/_permutation_and_remix_template.yaml"
    missing = "_permutation_and_remix_template_data.json beside it"
    assert err == f"{template}: skipped as a template: no {missing}\n"
    assert len(out.splitlines()) == len(data) == 6
    for path, items in data.items():
        folder = Path("out", path.parent.relative_to(VISTA))
        task = path.name.removesuffix("_data.json")
        prompts = read_prompts(folder / f"{task}_prompts.txt")
        labels = yaml.safe_load((path.parent / f"{task}.yaml").read_text())["label_prompts"]
        assert {prompt.group: prompt.text for prompt in prompts} == labels
        videos = read_trajectories(folder / f"{task}_trajectories.txt")
        found = {os.path.realpath(video.path): sorted(video.groups) for video in videos}
        assert found == {
            os.path.realpath(f"videos/{item['path']}"): sorted(item["label"].split(","))
            for item in items
        }


def test_a_folder_stands_for_all_sets_below_it(capsys):
    write_set("vista/b/deep/apple")
    write_set("vista/a")
    write("vista/b/_template.yaml", "label_prompts:\n$(OBJ)")
    write("vista/b/notes.txt")
    assert import_vista.main(["vista", "vista/b/deep/apple.yaml", "./vista/", "-o", "out"]) == 0
    out, err = capsys.readouterr()
    assert (
        err
        == "vista/b/_template.yaml: skipped as a template: no _template_data.json beside it\n" * 2
    )
    assert [line.split()[1] for line in out.splitlines()] == [
        "out/a_trajectories.txt",
        "out/b/deep/apple_trajectories.txt",
    ]
    # one set, or the sets of one folder, need none
    assert import_vista.main(["vista/b/deep", "-o", "flat"]) == 0
    assert sorted(os.listdir("flat")) == ["apple_prompts.txt", "apple_trajectories.txt"]
    assert import_vista.main(["vista/b/notes.txt/..", "-o", "none"]) == 2


def test_help_imports_nothing_heavy():
    program = (
        "import sys, import_vista\n"
        "try:\n    import_vista.main(['--help'])\n"
        "except SystemExit:\n    sys.exit(len({'yaml', 'torch', 'numpy'} & {*sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "TASK.yaml" in done.stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_no_traceback(sent):
    """While it reads, which takes long here."""
    program = (
        "import import_vista, time, trajeval.terminal, trajeval.vista\n"
        "def read(*_):\n    print('reading', flush=True)\n    time.sleep(60)\n"
        "trajeval.vista.read_text = read\n"
        "trajeval.terminal.run_script(lambda: import_vista.main(['t.yaml', '-o', 'out']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    try:
        assert process.stdout.readline() == "reading\n"
        process.send_signal(sent)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, "\ninterrupted\n")
    assert not Path("out").exists()


def problems(capsys, *arguments):
    assert import_vista.main([*arguments, "-o", "out"]) == 2
    out, err = capsys.readouterr()
    assert not out and not os.path.exists("out")
    *lines, last = err.splitlines()
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert last == f"{count} found; nothing was written"
    return lines


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ["t.yaml: is empty"]),
        (b"# nothing\n", ["t.yaml: no label_prompts"]),
        (b"- a\n- b\n", ["t.yaml: no label_prompts"]),
        (b"prompts: {a: b}", ["t.yaml: no label_prompts"]),
        (b"\nlabel_prompts:\n", ["t.yaml:2: label_prompts takes lines of the form"]),
        (b"label_prompts: {}", ["t.yaml:1: label_prompts takes lines of the form"]),
        (b"label_prompts: a door", ["t.yaml:1: label_prompts takes lines of the form"]),
        (b"label_prompts: {a: b", ["t.yaml:1: not YAML of a problem set: "]),
        (
            b"label_prompts:\n  a: *b",
            ["t.yaml:2: not YAML of a problem set: found undefined alias"],
        ),
        (b"a: 1\n---\nb: 2\n", ["t.yaml:2: not YAML of a problem set: but found another document"]),
        (
            b"label_prompts:\n  a: b\x07",
            ["t.yaml:2: not YAML of a problem set: contains the character U+0007"],
        ),
        (b'label_prompts: {a: "\\UFFFFFFFF"}', ["t.yaml: not YAML of a problem set: an escape"]),
        (b"[" * 1000, ["t.yaml: not YAML of a problem set: nested too deeply"]),
        (b"label_prompts:\n  a: \xe4\n", ["t.yaml:2: not UTF-8 (byte 0xe4)"]),
        (b"\xef\xbb\xbflabel_prompts: \xff\n", ["t.yaml:1: not UTF-8 (byte 0xff)"]),
        (GOOD.encode("utf-16"), ["t.yaml: is UTF-16 text"]),
        (b" " * (1 << 24) + b"a", ["t.yaml: too large"]),
        (
            b"label_prompts:\n  a: b\nlabel_prompts:\n  c: d\n",
            ["t.yaml:3: 'label_prompts' is already in line 1"],
        ),
        (
            b"x: 1\nlabel_prompts: {open: b, shut: c}\nx: 2\n",
            ["t.yaml:3: 'x' is already in line 1"],
        ),
    ],
)
def test_broken_yaml(capsys, content, expected):
    task = write_set("t")
    write(task, content)
    found = [line for line in problems(capsys, task) if not line.startswith("t_data.json")]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("a: b\n  a: c", ["3: the label 'a' is already in line 2"]),
        ('a: b\n  " a ": c', ["3: the label 'a' is already in line 2 (spaces around"]),
        (
            "on: b\n  1: c",
            ["2: the label 'on' is not a string", "3: the label '1' is not a string"],
        ),
        ("? [a, b]\n  : c\n  d: e", ["2: the label is not a string"]),
        ('"a\\nb": c', ["2: the label 'a\\nb' has a line break"]),
        ('"a\\rb": c', ["2: the label 'a\\rb' has a line break"]),
        ('"a\\0b": c', ["2: the label 'a\\x00b' has a null character"]),
        ('"a\\ud800": c', ["2: the label 'a\\ud800' is not valid Unicode"]),
        ('" ": c', ["2: the label '' is empty"]),
        ("baseline: c", ["2: the label 'baseline' is the name of the group of neutral"]),
        ("a:\n  b: ''", ["2: the prompt of 'a' is not a string", "3: the prompt of 'b' is empty"]),
        ("a: [b, c]", ["2: the prompt of 'a' is not a string"]),
        ("a: yes", ["2: the prompt of 'a' is not a string"]),
        ("a: '#1 opens'", ["2: the prompt of 'a' begins with #"]),
        ("a: ' [door] '", ["2: the prompt of 'a' is in brackets"]),
        ("a: |\n    b\n    c", ["2: the prompt of 'a' has a line break"]),
        ("a: b\nprompt_baseline: ''", ["3: prompt_baseline is empty"]),
        ("a: b\nprompt_baseline: 1", ["3: prompt_baseline is not a string"]),
        ("a: b\nprompt_baseline: '#'", ["3: prompt_baseline begins with #"]),
    ],
)
def test_what_a_list_cannot_hold(capsys, labels, expected):
    task = write_set("t", f"label_prompts:\n  {labels}\n", [("a.mp4", " a ")])
    found = [line for line in problems(capsys, task) if not line.startswith("t_data.json")]
    expected = [f"t.yaml:{start}" for start in expected]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


A = {"path": "a.mp4", "label": "open"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", [": is empty"]),
        ("[]", [": takes a list of videos"]),
        ("{}", [": takes a list of videos"]),
        ('[\n{"path": "a.mp4",\n]', [":3: not JSON: "]),
        (
            '[{"path": "a.mp4", "label": "open", "label": "shut"}]',
            [": not a problem set: a repeated key"],
        ),
        ("[" * 100_000, [": not a problem set: "]),
        (b'[\n"\xff"]', [":2: not UTF-8"]),
        (json.dumps([A]).encode("utf-16"), [": is UTF-16 text"]),
        ([A, "a.mp4"], [": entry 2 is not an object"]),
        ([{}, A], [": entry 1 needs a string as its path and its label"]),
        ([A | {"path": 1}, A | {"label": None}], [": entry 1 needs a st", ": entry 2 needs a st"]),
        ([A | {"path": ""}, A | {"path": "a\nb"}], [": entry 1: the path ''", ": entry 2: the p"]),
        ([A | {"path": "a\0"}, A | {"path": "\ud800"}], [": entry 1: the pa", ": entry 2: the pa"]),
        ([A | {"path": "x.mp4"}], [": entry 1: no such video: 'x.mp4'"]),
        ([A | {"path": "x" * 5000}], [": entry 1: no such video: 'xxx"]),
        ([A | {"path": "folder"}], [": entry 1: a folder, not a video: 'folder'"]),
        ([A | {"path": "a .mp4 "}], [": entry 1: the path '../a .mp4 ' cannot be"]),
        ([A | {"label": "ajar"}], [": entry 1: the label 'ajar' has no prompt"]),
        (
            [A | {"label": "open, ajar,x"}],
            [": entry 1: the label 'ajar'", ": entry 1: the label 'x'"],
        ),
        ([A | {"label": "open,"}], [": entry 1: the label '' has no prompt"]),
    ],
)
def test_mistakes_in_the_data(capsys, content, expected):
    task = write_set("t")
    Path("folder").mkdir()
    write("a .mp4 ")
    write("t_data.json", json.dumps(content) if isinstance(content, list) else content)
    found = problems(capsys, task, "--video-dir", ".")
    expected = [f"t_data.json{start}" for start in expected]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_folders_and_pipes_that_cannot_be_used(capsys):
    task = write_set("t")
    assert problems(capsys, task, "--video-dir", "gone")[0] == "--video-dir gone: no such folder"
    write("d/e/d_data.json/x")
    write("d/e/d.yaml", GOOD)
    assert problems(capsys, "d/e/d.yaml") == ["d/e/d_data.json: cannot be read: is a folder"]
    os.mkfifo("pipe.yaml")
    os.mkfifo("pipe_data.json")
    assert problems(capsys, "pipe.yaml") == [
        "pipe.yaml: cannot be read: is not a regular file",
        "pipe_data.json: cannot be read: is not a regular file",
    ]


def test_empty_and_missing_paths_are_errors(capsys):
    assert import_vista.main(["", "-o", "", "--video-dir", ""]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--output-dir '': takes a path",
        "--video-dir '': takes a path",
        "TASK.yaml '': takes a path",
        "3 problems found; nothing was written",
    ]
    assert import_vista.main([write_set("t"), "--outputdir", "out"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "unknown option --outputdir: did you mean --output-dir?",
        "-o DIR is missing: the folder for the lists",
        "2 problems found; nothing was written",
    ]


@pytest.mark.parametrize("task", [".", "gone/..", "x" * 5000, "x" * 300, "/dev/null", "a/b/"])
def test_odd_paths_of_a_task_are_named(capsys, task):
    found = problems(capsys, task)
    assert found and all(task.strip("/")[:9] in line for line in found)


def test_an_output_folder_that_is_a_file(capsys):
    write("out", "a file")
    write_set("t")
    assert import_vista.main(["t.yaml", "-o", "out"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--output-dir out: out is a file, not a folder",
        "1 problem found; nothing was written",
    ]


def test_nothing_is_left_of_a_failed_write(capsys, monkeypatch):
    task = write_set("t")
    write("out/t_prompts.txt/x")
    assert import_vista.main([task, "-o", "out"]) == 2
    assert "out/t_prompts.txt: a folder has the name of this list" in capsys.readouterr().err
    old = write("new/t_trajectories.txt", "old")

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert import_vista.main([task, "-o", "new"]) == 1
    assert "could not be written: No space left on device" in capsys.readouterr().err
    assert os.listdir("new") == [old.name] and old.read_text() == "old"


@pytest.mark.parametrize("folder", ["out", ".", "sets", "sets/v/deep", "link/out"])
def test_file_names_with_a_meaning_in_a_list(folder):
    names = ["#1.mp4", "[a].mp4", "[a]", "~.mp4", " x.mp4", "a*?.mp4", "a[b].mp4", "ö 走.mp4"]
    videos = [(name, "open") for name in names] + [(f"v/{name}", "shut") for name in names]
    task = write_set("sets/t", GOOD, videos)
    for name in ("ab.mp4", "axx.mp4", "v/a.mp4", "v/ab.mp4"):  # which the patterns match
        write(Path("sets") / name)
    Path("elsewhere/deep").mkdir(parents=True)
    Path("link").symlink_to("elsewhere/deep")
    assert import_vista.main([task, "-o", folder]) == 0
    assert read_back(folder, "t")[1] == real(*((f"sets/{name}", label) for name, label in videos))
    lines = Path(folder, "t_trajectories.txt").read_text(encoding="utf-8").splitlines()
    assert not any(line.startswith("/") for line in lines)


def test_a_file_in_the_current_folder_does_not_take_the_place_of_a_video():
    task = write_set("sets/t", GOOD, [("a.mp4", "open"), ("v[1].mp4", "shut")])
    write("a.mp4", "another")
    write("v1.mp4", "another")
    assert import_vista.main([task, "-o", "sets"]) == 0
    assert read_back("sets", "t")[1] == real(("sets/a.mp4", "open"), ("sets/v[1].mp4", "shut"))


def test_videos_are_looked_up_in_the_folder_that_is_named():
    task = write_set("tasks/t", GOOD, [("x/a.mp4", "open")])
    write("videos/x/a.mp4")
    assert import_vista.main([task, "-o", "out", "--video-dir", "videos"]) == 0
    assert read_back("out", "t")[1] == real(("videos/x/a.mp4", "open"))


# As in the public data set, and what has a meaning of its own in a list.
LINES = st.text(max_size=12) | st.text("[]# \n\rab\u2028\x1c", max_size=5)
TEXTS = LINES | st.sampled_from(["baseline", "label_0", "[a] b", "a [b]", "yes", "1", "null", "~"])


def survives(prompts, baseline):
    """Whether a list that is written naively reads as it was meant."""
    groups = prompts if baseline is None else prompts | {"baseline": baseline}
    meant = [(prompt.strip(), label.strip()) for label, prompt in groups.items()]
    if len(dict.fromkeys(group for _, group in meant)) < len(prompts) + (baseline is not None):
        return False
    text = "\n".join(f"[{group}]\n{prompt}" for prompt, group in meant)
    with tempfile.TemporaryDirectory() as folder:
        try:
            read = read_prompts(write(Path(folder) / "list.txt", text))
        except UserError:
            return False
    return [(prompt.text, prompt.group) for prompt in read] == meant


@given(prompts=st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=4), baseline=st.none() | TEXTS)
@example(prompts={"[a": "b]", "#": "]["}, baseline="[")
@example(prompts={"a": "[b]"}, baseline=None)
def test_all_that_a_list_can_hold_comes_back(prompts, baseline):
    with tempfile.TemporaryDirectory() as folder:
        content = {"label_prompts": prompts, "prompt_baseline": baseline}
        videos = [(f"{n}.mp4", label) for n, label in enumerate(prompts)]
        task = write_set(f"{folder}/t", yaml.safe_dump(content), videos)
        status = import_vista.main([task, "-o", f"{folder}/out"])
        if "baseline" in {label.strip() for label in prompts} or not survives(prompts, baseline):
            assert status == 2 and not os.path.exists(f"{folder}/out")
            return
        assert status == 0
        expected = [(prompt.strip(), label.strip()) for label, prompt in prompts.items()]
        if baseline is not None:
            expected.append((baseline.strip(), "baseline"))
        found, trajectories = read_back(f"{folder}/out", "t")
        # safe_dump sorts the labels
        assert sorted(found) == sorted(expected)
        assert sorted(trajectories) == sorted(
            (os.path.realpath(f"{folder}/{name}"), label.strip()) for name, label in videos
        )


@given(text=st.binary(max_size=60) | st.text("{}[]:,-'\"\\ \n|>&*!%@?~<ax0U", max_size=30))
def test_any_content_gives_a_message(text):
    with tempfile.TemporaryDirectory() as folder:
        task = write_set(f"{folder}/t")
        for path in (task, f"{folder}/t_data.json"):
            write(path, text)
        assert import_vista.main([task, "-o", f"{folder}/out"]) == 2
