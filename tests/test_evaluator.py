"""The command line, as a user runs it: real scripts, real videos, good and bad."""

import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from conftest import hear_ctrl_c, write
from make_videos import counting_frames, write_video
from runs import LISTS, ROOT, read_numbers

from s3d_evaluator import S3DModel
from trajeval import batches, evaluator, results, stages

SCRIPT = ROOT / "s3d_evaluator.py"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Trajectories of different sizes and lengths."""
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "long.mp4", counting_frames(70, 64, 96))
    write_video(folder / "short one.mp4", counting_frames(3, 96, 64))
    write_video(folder / "走る $x_1$.mkv", counting_frames(40, 64, 64))
    (folder / "broken.mp4").write_bytes(b"not a video" * 100)
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch, clips):
    """An empty folder to run in, with a list of prompts and a list of trajectories."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("open door\ncut tomato\nthe robot walks slowly\n")
    names = ["long.mp4", "short one.mp4", "走る $x_1$.mkv"]
    Path("trajectories.txt").write_text("".join(f"{clips / name}\n" for name in names))
    return tmp_path


def evaluate(*arguments, **options):
    """The script, in a process of its own."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def main(*arguments):
    """The same in this process, without the seconds that imports take; the exit status."""
    return evaluator.main(S3DModel, "", [*map(str, arguments)])


def quickly(small_weights):
    weights = ["--model-checkpoint-path", str(small_weights / "weights.pth")]
    return [*LISTS, *weights, "--n-frames", "2", "--size", "200", "--device", "cpu"]


def evaluate_lists(small_weights, *arguments, **options):
    """A quick run over the project's lists, called `exp` in the folder `out`."""
    return evaluate(*quickly(small_weights), *arguments, **options)


def evaluate_here(small_weights, *arguments):
    """The same in this process; the exit status."""
    return main(*quickly(small_weights), *arguments)


def test_a_run_leaves_the_heatmap_and_its_numbers(project, small_weights, clips):
    done = evaluate_lists(small_weights)
    assert (done.returncode, done.stdout) == (0, f"{Path('out/exp.png')}\n"), done.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["exp", "exp.png"]
    assert sorted(path.name for path in Path("out/exp").iterdir()) == [
        *("embeddings.npz", "report.html", "run.json", "similarities.csv", "similarities.npy")
    ]
    picture = iio.imread("out/exp.png")
    assert picture.ndim == 3 and picture.std() > 10
    header, names, numbers = read_numbers("out/exp")
    assert header == ["trajectory", "open door", "cut tomato", "the robot walks slowly"]
    assert names == Path("trajectories.txt").read_text().splitlines()
    array = np.load("out/exp/similarities.npy", allow_pickle=False)
    assert array.dtype == np.float32 and array.shape == (3, 3)
    assert (array == numbers).all() and np.isfinite(array).all()

    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert run["n_frames"] == 2 and run["size"] == 200 and run["device"] == "cpu"
    assert [len(weight["sha256"]) for weight in run["weights"]] == [64, 64]
    content = hashlib.blake2b((clips / "long.mp4").read_bytes()).hexdigest()
    assert run["trajectories"][0] == {
        **{"path": str(clips / "long.mp4"), "groups": [], "content": content},
        "file": Path(os.path.relpath(clips / "long.mp4", "out/exp")).as_posix(),
        **{"length": 70, "width": 96, "height": 64, "fps": 25.0},
        **{"frames": [0, 35], "warning": None},
    }
    assert run["versions"]["torch"] and run["seconds"]["videos"] > 0
    assert done.stderr.splitlines()[-1].startswith("3 videos: 3 computed (")


def test_order_and_batch_size_change_nothing(project, small_weights):
    assert evaluate_here(small_weights) == 0
    before = read_numbers("out/exp")
    lines = Path("trajectories.txt").read_text().splitlines()
    Path("trajectories.txt").write_text("\n".join(reversed(lines)))
    assert evaluate_here(small_weights, "--batch-size", 8, "--no-cache") == 0
    after = read_numbers("out/exp")
    assert after[1] == before[1][::-1]
    assert after[2] == pytest.approx(before[2][::-1], abs=1e-5)


def test_verbose_tells_what_was_sampled(project, small_weights, clips, capsys):
    assert evaluate_here(small_weights, "-v", "--resize", "stretch") == 0
    out, err = capsys.readouterr()
    assert f"{clips / 'long.mp4'}: 70 frames of 96x64, sampled 0 35" in err
    assert "S3D, weights.pth, on cpu in float32\nresize stretch, size 200\n" in err
    assert "loading " in err.splitlines()[-1]
    assert out == "out/exp.png\n"


def test_parts_frames_and_arrays(project, small_weights, clips, capsys):
    Path("clip").symlink_to(clips / "long.mp4")
    Path("frames").mkdir()
    for i, frame in enumerate(counting_frames(5)):
        iio.imwrite(f"frames/{i}.png", frame)
    np.save("array.npy", counting_frames(5))
    listed = ["clip", "clip#t=0.4,1", "clip#t=1", "frames#t=0.2,0.4", "array.npy#t=0.2,0.4"]
    Path("trajectories.txt").write_text("\n".join(listed))
    assert evaluate_here(small_weights, "-v", "--fps", 10) == 0
    _, err = capsys.readouterr()
    assert "clip#t=0.4,1: 15 frames of 96x64, sampled 10 17" in err
    assert "array.npy#t=0.2,0.4: 2 frames of 96x64, sampled 2 3" in err and "warning" not in err
    _, names, numbers = read_numbers("out/exp")
    assert names == listed
    assert (numbers[3] == numbers[4]).all() and len({tuple(row) for row in numbers}) == 4
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    entries = run["trajectories"]
    assert [entry["path"] for entry in entries] == listed
    assert "start" not in entries[0] and "end" not in entries[0]
    assert [(entry["start"], entry["end"]) for entry in entries[1:3]] == [(0.4, 1.0), (1.0, None)]
    assert entries[3]["fps"] == 10 and entries[1]["fps"] == 25
    assert np.load("out/exp/embeddings.npz")["trajectories"].tolist() == listed

    assert evaluate_here(small_weights) == 1
    *errors, counts, _ = capsys.readouterr().err.splitlines()
    assert [error.split(" (")[0] for error in errors] == [
        f"error: {name}: has no times, which #t= needs: give its frames per second"
        for name in listed[3:]
    ]
    assert counts.startswith("5 videos: 3 computed") or "3 from the cache" in counts
    assert evaluate_here(small_weights, "--fps", 10) == 0
    assert "5 videos: 5 from the cache" in capsys.readouterr().err


def test_wrong_parts_are_named_before_anything_runs(project, small_weights, clips, capsys):
    Path("trajectories.txt").write_text(f"{clips}/long.mp4#t=2,1\n{clips}/long.mp4#t=9\n")
    assert evaluate_here(small_weights, "--fps", 0) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--fps 0: takes a number above 0, up to 1000000",
        "trajectories.txt:1: #t=2,1: END must be after START",
        "2 problems found; nothing was run",
    ]


def test_a_part_that_is_listed_twice_is_said(project, small_weights, clips, capsys):
    parts = ["#t=0,1", "#t=1,2", "", "#t=0,1.0"]
    Path("trajectories.txt").write_text("".join(f"{clips}/long.mp4{part}\n" for part in parts))
    assert evaluate_here(small_weights) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    expected = f"trajectories.txt:4: {clips}/long.mp4#t=0,1 is the same file as in line 1"
    assert line == f"warning: {expected}"


def test_bad_videos_do_not_stop_the_others(project, small_weights, clips, capsys):
    with open("trajectories.txt", "a") as file:
        file.write(f"{clips / 'broken.mp4'}\n{clips / 'empty.mp4'}\n")
    assert evaluate_here(small_weights) == 1
    out, err = capsys.readouterr()
    assert out == "out/exp.png\n"
    assert len(read_numbers("out/exp")[1]) == 3
    first, second, counts, end = err.splitlines()
    assert first.startswith("error: ") and "broken.mp4: " in first
    assert second.startswith("error: ") and "empty.mp4: is empty" in second
    assert counts.startswith("5 videos: 3 computed (") and counts.endswith(", 2 failed")
    assert end == "skipped 2 of 5 videos: see the errors above"
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert ["error" in trajectory for trajectory in run["trajectories"]] == [False] * 3 + [True] * 2


def test_no_usable_video_leaves_nothing(project, small_weights, clips, capsys):
    Path("trajectories.txt").write_text(f"{clips / 'broken.mp4'}\n{clips / 'empty.mp4'}\n")
    assert evaluate_here(small_weights) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "none of the videos could be used" in err
    assert not Path("out").exists()


def test_warnings_of_prompts_come_before_the_videos(project, small_weights, capsys):
    Path("prompts.txt").write_text(
        f"open door\nDOOR, open!\nopen zzz door qqq\nzzz\n{'dog ' * 17}a stick\n"
    )
    assert evaluate_here(small_weights) == 0
    lines = capsys.readouterr().err.splitlines()
    for line, start in zip(
        lines,
        [
            'prompts.txt:2: "DOOR, open!": indistinguishable to the model from "open door"',
            'prompts.txt:3: "open zzz door qqq": ignored, as not in the dictionary: zzz, qqq',
            'prompts.txt:3: "open zzz door qqq": indistinguishable to the model from "open door"',
            'prompts.txt:4: "zzz": none of its words is in the dictionary: its scores mean nothing',
            f'prompts.txt:5: "{"dog " * 17}a stick": only its first 16 words are used; cut',
        ],
    ):
        assert line.startswith(f"warning: {start}")
    assert lines[5].startswith("3 videos: 3 computed")


def test_the_same_file_twice_is_said(project, small_weights, capsys):
    lines = Path("trajectories.txt").read_text().splitlines()
    Path("trajectories.txt").write_text("\n".join([lines[0], lines[1], lines[0]]))
    assert evaluate_here(small_weights) == 0
    said = capsys.readouterr().err
    assert f"warning: trajectories.txt:3: {lines[0]} is the same file as in line 1" in said
    numbers = read_numbers("out/exp")[2]
    assert numbers.shape == (3, 3) and numbers[2] == pytest.approx(numbers[0], abs=1e-6)


def test_all_problems_at_once_and_nothing_heavy(project):
    """Modules that cannot be imported stand in the way of whoever tries."""
    for name in ("torch", "numpy", "av", "matplotlib", "seaborn"):
        Path(f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    Path("prompts.txt").write_bytes(b"ok\n\xff\xfe\n")
    Path("trajectories.txt").write_text("no.mp4\nnot/there/*.avi\n")
    done = evaluate(
        *("-t", "trajectories.txt", "-p", "prompts.txt", "-e", "../x", "-o", "prompts.txt"),
        *("--n-frames", "seven", "--size", "201", "--batch-size", "0", "--device", "tpu"),
        *("--model-checkpoint-path", "no.pth", "--dict-path", ".", "--cache-dir", "prompts.txt"),
        env=os.environ | {"PYTHONPATH": str(project)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    missing = "no such file, folder or match"
    places = "the current folder or the folder of the scripts"
    assert done.stderr.splitlines() == [
        "--n-frames seven: takes an even number from 2 to 1024",
        "--batch-size 0: takes a whole number from 1 to 4096",
        "--device tpu: takes auto, cpu, cuda, cuda:N, mps, cuda:0,cuda:1 or cuda:all",
        "--size 201: takes an even number from 64 to 512",
        "no.pth does not exist.",
        ". is a folder, not a file.",
        "--cache-dir prompts.txt: prompts.txt is a file, not a folder",
        "--experiment-id '../x': takes a name, not a path: --output-dir names the folder",
        "prompts.txt:2: not UTF-8 (byte 0xff): save it as UTF-8",
        f"trajectories.txt:1: {missing}: no.mp4 (searched in {places})",
        f"trajectories.txt:2: {missing}: not/there/*.avi (searched in {places})",
        "11 problems found; nothing was run",
    ]


def test_missing_arguments_are_named_together(capsys):
    assert main() == 2
    said = capsys.readouterr().err
    for option in ("-t FILE", "-p FILE", "-e NAME"):
        assert f"{option} is missing" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resize", "half", "--size", "224"], "--size: cannot be combined with --resize half"),
        (
            ["--demo", "--dict-path", "d.npy"],
            "--demo: cannot be combined with --model-checkpoint-path or --dict-path",
        ),
        (["--resize", "squash"], "--resize squash: takes crop, stretch, half"),
        (["--device", "cuda:01"], "--device cuda:01: takes auto, cpu"),
        (["--cache-dir", "c", "--no-cache"], "--cache-dir: cannot be combined with --no-cache"),
        (["--cache-size", "0"], "--cache-size 0: takes a number above 0"),
        (["--cache-dir", "prompts.txt/c"], "--cache-dir prompts.txt/c: prompts.txt is a file"),
    ],
)
def test_arguments_that_do_not_go_together(project, capsys, arguments, message):
    assert main("-t", "trajectories.txt", "-p", "prompts.txt", "-e", "x", *arguments) == 2
    assert message in capsys.readouterr().err


def test_help_imports_nothing_heavy(project):
    for name in ("torch", "numpy", "av", "matplotlib", "seaborn", "tqdm", "safetensors"):
        Path(f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    done = evaluate("--help", env=os.environ | {"PYTHONPATH": str(project)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "--n-frames" in done.stdout


def test_a_full_disk_leaves_the_old_results(project, small_weights, capsys, monkeypatch):
    Path("out/exp").mkdir(parents=True)
    Path("out/exp.png").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.Path, "write_bytes", full)
    assert evaluate_here(small_weights) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "out: could not be written: No space left on device; nothing was changed" in err
    assert Path("out/exp.png").read_text() == "old"
    assert sorted(path.name for path in Path("out").iterdir()) == ["exp", "exp.png"]


def test_wrong_weights_are_one_clear_message(project, small_weights, capsys):
    Path("w.pth").write_text("<html>not found</html>")
    assert evaluate_here(small_weights, "--model-checkpoint-path", "w.pth") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "w.pth is a web page (HTML), not weights.",
        "s3d_dict.npy does not exist.",
        "2 problems found; nothing was run",
    ]
    assert not Path("out").exists()


def test_a_device_that_is_not_there(project, small_weights, capsys):
    assert evaluate_here(small_weights, "--device", "cuda:77") == 2
    assert "--device cuda" in capsys.readouterr().err


@pytest.mark.parametrize("signal_sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_at_once(project, small_weights, clips, signal_sent):
    content = (clips / "long.mp4").read_bytes()
    for i in range(100):  # a video that a list has twice is embedded once
        write(project / f"many/{i}.mp4", content)
    Path("trajectories.txt").write_text("many\n")
    command = [sys.executable, SCRIPT, "-t", "trajectories.txt", "-p", "prompts.txt", "-e", "exp"]
    command += ["-o", "out", "--n-frames", "8", "--size", "200", "-v"]
    command += ["--model-checkpoint-path", small_weights / "weights.pth"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    try:
        for line in process.stderr:
            if "sampled" in line:
                break
        process.send_signal(signal_sent)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, stdout) == (130, ""), stderr[-3000:]
    assert stderr.endswith("interrupted; nothing was written\n")
    assert "Traceback" not in stderr
    assert not Path("out").exists()


def test_a_terminal_gets_a_progress_bar(project, small_weights):
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # rows, columns
    done = subprocess.Popen(
        [
            *(sys.executable, SCRIPT, "-t", "trajectories.txt", "-p", "prompts.txt", "-e", "exp"),
            *("-o", "out", "--n-frames", "2", "--size", "200"),
            *("--model-checkpoint-path", small_weights / "weights.pth"),
        ],
        stderr=end,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(end)
    shown = b""
    try:
        while block := os.read(terminal, 4096):
            shown += block
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(terminal)
    assert done.communicate()[0] == "out/exp.png\n"
    assert b"| 0/3 videos" in shown and b"| 3/3 videos" in shown


def test_halved_odd_sizes_are_named(project, small_weights, tmp_path, capsys):
    write_video(tmp_path / "odd.mp4", counting_frames(4, 66, 100))
    Path("trajectories.txt").write_text("odd.mp4\n")
    weights = ["--model-checkpoint-path", small_weights / "weights.pth"]
    assert main(*LISTS, *weights, "--resize", "half", "--n-frames", 2) == 1
    said = capsys.readouterr().err
    assert "odd.mp4: half of its size is 50x33, and S3D needs even sides" in said


@pytest.fixture
def grouped(project, clips):
    """The project's lists with labels: two behaviours, two phrasings of each, and a baseline."""
    Path("prompts.txt").write_text(
        "[open]\nopen door\nopening the door\n[cut]\ncut tomato\ncutting\n[baseline]\na robot\n"
    )
    names = {"open": ["long.mp4", "short one.mp4"], "cut": ["走る $x_1$.mkv"]}
    lines = [line for g in names for line in (f"[{g}]", *(str(clips / n) for n in names[g]))]
    Path("trajectories.txt").write_text("\n".join(lines))
    return project


def test_groups_end_in_a_verdict(grouped, small_weights, capsys):
    assert evaluate_here(small_weights) == 0
    out, err = capsys.readouterr()
    assert out == "out/exp.png\n"
    assert err.splitlines()[-1].startswith("S3D tells ")
    assert sorted(path.name for path in Path("out/exp").iterdir()) == [
        *("embeddings.npz", "groups.csv", "metrics.json", "report.html", "run.json"),
        *("scores.csv", "similarities.csv", "similarities.npy"),
    ]
    header, _, numbers = read_numbers("out/exp")
    assert header[1:] == ["open door", "opening the door", "cut tomato", "cutting"]
    assert numbers.shape == (3, 4)
    metrics = json.loads(Path("out/exp/metrics.json").read_text(encoding="utf-8"))
    assert metrics["n_trajectories"] == 3 and metrics["prompt_groups"] == ["open", "cut"]
    assert iio.imread("out/exp.png").std() > 10


def test_plots_for_papers(grouped, small_weights, capsys):
    curves = ["--curves", "prefix", "--curve-points", "3"]
    assert evaluate_here(small_weights, *curves, "--plots", "svg") == 0
    names = ["auc", "confusion", "curves", "distributions", "groups", "heatmap"]
    assert sorted(os.listdir("out/exp/plots")) == [f"{name}.svg" for name in names]
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert {f"plots/{name}.svg" for name in names} <= run["files"].keys()
    assert results.read_results("out/exp").missing == []
    assert evaluate_here(small_weights, "--plots") == 0
    names.remove("curves")
    assert sorted(os.listdir("out/exp/plots")) == [f"{name}.png" for name in names]
    assert evaluate_here(small_weights) == 0
    assert not Path("out/exp/plots").exists()
    capsys.readouterr()
    assert evaluate_here(small_weights, "--plots", "jpg") == 2
    assert "--plots jpg: takes png, pdf, svg" in capsys.readouterr().err


def test_similarities_as_asked(grouped, small_weights):
    assert evaluate_here(small_weights) == 0
    plain = read_numbers("out/exp")[2]
    asked = ["--similarity", "goal-baseline", "--alpha", "0.25", "--normalize", "prompt"]
    assert evaluate_here(small_weights, *asked, "--ensemble", "mean-embedding") == 0
    header, _, numbers = read_numbers("out/exp")
    assert header[1:] == ["open", "cut"]
    assert numbers.mean(0) == pytest.approx([0, 0], abs=1e-5)
    assert numbers.std(0) == pytest.approx([1, 1], abs=1e-5)
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert run["similarity"] == (
        "goal-baseline similarity, alpha 0.25, standardised for each prompt"
    )
    assert evaluate_here(small_weights, "--softmax") == 0
    expected = np.exp((plain - plain.max(1, keepdims=True)) / 0.01)
    expected /= expected.sum(1, keepdims=True)
    assert read_numbers("out/exp")[2] == pytest.approx(expected, abs=1e-3)


def test_the_first_of_each_group(grouped, small_weights, clips):
    assert evaluate_here(small_weights, "--max-per-group", 1) == 0
    assert read_numbers("out/exp")[1] == [
        (clips / name).as_posix() for name in ("long.mp4", "走る $x_1$.mkv")
    ]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--similarity", "dot"], ["--similarity dot: takes cosine, projection, goal-baseline"]),
        (["--normalize", "rows"], ["--normalize rows: takes prompt, vista"]),
        (["--ensemble", "max"], ["--ensemble max: takes mean-similarity, mean-embedding"]),
        (["--alpha", "0.5"], ["--alpha: requires --similarity projection or goal-baseline"]),
        (["--softmax", "0"], ["--softmax 0: takes a number above 0"]),
        (["--softmax", "nan"], ["--softmax nan: takes a number above 0"]),
        (
            ["--max-per-group", "0"],
            ["--max-per-group 0: takes a whole number"],
        ),
        (
            ["--similarity", "projection", "--alpha", "2"],
            ["--alpha 2: takes a number from 0 to 1", "--similarity projection needs a group"],
        ),
        (
            ["--softmax", "--normalize", "vista"],
            ["--softmax: cannot be combined with --normalize vista"],
        ),
        (
            ["--similarity", "projection", "--ensemble", "mean-embedding", "--max-per-group", "2"],
            [
                "prompts.txt: --similarity projection needs a group [baseline]",
                "prompts.txt: --ensemble mean-embedding needs prompt groups",
                "trajectories.txt: --max-per-group needs trajectory groups",
            ],
        ),
    ],
)
def test_what_groups_cannot_give(project, capsys, arguments, messages):
    (project / "checkpoints").mkdir()
    assert main("-t", "trajectories.txt", "-p", "prompts.txt", "-e", "x", *arguments) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == len(messages) + 1
    for message in messages:
        assert message in said


def test_a_baseline_is_of_prompts(grouped, clips, capsys):
    Path("trajectories.txt").write_text(f"[baseline]\n{clips / 'long.mp4'}\n")
    Path("prompts.txt").write_text("[baseline]\na robot\n")
    assert main("-t", "trajectories.txt", "-p", "prompts.txt", "-e", "x") == 2
    assert capsys.readouterr().err.splitlines() == [
        "prompts.txt: only has [baseline], so nothing to compare",
        "trajectories.txt:2: [baseline] is reserved for prompts: rename the trajectory group",
        "2 problems found; nothing was run",
    ]


# --- what is kept from one run to the next


def results_of(folder="out/exp"):
    """The numbers that a run left, to the last bit."""
    names = ("similarities.csv", "similarities.npy", "embeddings.npz")
    arrays = [read_embeddings(folder)[name].tobytes() for name in ("videos", "texts")]
    return [Path(folder, name).read_bytes() for name in names[:2]] + arrays


def read_embeddings(folder="out/exp"):
    with np.load(Path(folder, "embeddings.npz"), allow_pickle=False) as file:
        return dict(file)


def untouched(*names):
    """A model whose networks of these names cannot be loaded."""

    def asked(_):
        raise AssertionError(f"one of {names} was loaded")

    return type("Untouched", (S3DModel,), {name: property(asked) for name in names})


def size_of(folder):
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in Path(folder).rglob("*.*"))


def test_a_second_run_needs_neither_torch_nor_a_decoder(project, small_weights, capsys):
    """Modules that cannot be imported stand in the way of whoever tries."""
    with open("prompts.txt", "a") as file:
        file.write("zzz open\n")
    assert evaluate_here(small_weights) == 0
    before, warning = results_of(), capsys.readouterr().err.splitlines()[0]
    assert warning.startswith("warning: prompts.txt:4: ")
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    for name in ("torch", "av"):
        write(project / f"shadow/{name}.py", f"raise RuntimeError('{name} was imported')")
    shutil.rmtree("out")
    shadow = os.environ | {"PYTHONPATH": str(project / "shadow")}
    done = evaluate_lists(small_weights, env=shadow)
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert results_of() == before
    assert [line for line in done.stderr.splitlines() if "warning" in line] == [warning]
    again = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    for record in (run, again):
        del record["started"], record["seconds"]
    assert again == run
    done = evaluate_lists(small_weights, "--no-cache", env=shadow)
    assert "torch was imported" in done.stderr


def test_a_new_prompt_needs_no_torch_either(project, small_weights):
    """The text network's weights are found in the checkpoint as the first run saw them there."""
    assert evaluate_here(small_weights) == 0
    before = read_numbers("out/exp")[2]
    lines = Path("prompts.txt").read_text().splitlines()
    Path("prompts.txt").write_text("\n".join(["close door zzz", *lines]))
    write(project / "shadow/torch.py", "raise RuntimeError('torch was imported')")
    shadow = os.environ | {"PYTHONPATH": str(project / "shadow")}
    done = evaluate_lists(small_weights, env=shadow)
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert "not in the dictionary: close, zzz" in done.stderr
    header, _, numbers = read_numbers("out/exp")
    assert header[1:] == ["close door zzz", *lines]
    assert (numbers[:, 1:] == before).all() and (numbers[:, :1] != before).all()
    kept = results_of()
    assert evaluate_here(small_weights, "--no-cache") == 0
    assert results_of() == kept


def test_a_new_prompt_takes_the_text_network_alone(project, small_weights):
    """Where only PyTorch can read the weights, too."""
    weights = torch.load(small_weights / "weights.pth", weights_only=True)
    weights = {name: value.double() for name, value in weights.items()}
    torch.save(weights, project / "double.pth")
    dictionary = str(small_weights / "s3d_dict.npy")
    double = ["--model-checkpoint-path", "double.pth", "--dict-path", dictionary]
    assert evaluate_here(small_weights, *double) == 0
    lines = Path("prompts.txt").read_text().splitlines()
    Path("prompts.txt").write_text("\n".join(["close door", *lines]))
    model = untouched("video_network")
    assert evaluator.main(model, "", [*quickly(small_weights), *double]) == 0
    numbers = read_numbers("out/exp")[2]
    assert evaluate_here(small_weights) == 0
    assert (read_numbers("out/exp")[2] == numbers).all()


def test_a_new_trajectory_takes_the_video_network_alone(project, small_weights, clips):
    assert evaluate_here(small_weights) == 0
    before = read_numbers("out/exp")[2]
    new = write_video(project / "new.mp4", counting_frames(5, 64, 64))
    Path("trajectories.txt").write_text(f"{new}\n{Path('trajectories.txt').read_text()}")
    model = untouched("text_network")
    assert evaluator.main(model, "", quickly(small_weights)) == 0
    _, names, numbers = read_numbers("out/exp")
    assert names[0] == new.as_posix()
    assert (numbers[1:] == before).all() and (numbers[0] != before).all()


def test_other_settings_are_computed_anew(project, small_weights):
    """With what is kept of the others beside it, and as without any of it."""
    assert evaluate_here(small_weights) == 0
    for setting in (["--n-frames", 4], ["--size", 202], ["--precision", "bfloat16"]):
        with pytest.raises(AssertionError, match="video_network"):
            model = untouched("video_network")
            evaluator.main(model, "", [*quickly(small_weights), *map(str, setting)])
        assert evaluate_here(small_weights, *setting) == 0
        ours = results_of()
        assert evaluate_here(small_weights, *setting, "--no-cache") == 0
        assert results_of() == ours


def test_bad_videos_are_told_of_again(project, small_weights, clips, capsys):
    with open("trajectories.txt", "a") as file:
        file.write(f"{clips / 'broken.mp4'}\n")
    told = []
    for _ in range(2):
        assert evaluate_here(small_weights) == 1
        told.append(capsys.readouterr().err.splitlines())
    for lines, videos in zip(told, ("3 computed", "3 from the cache")):
        error, counts, end = lines
        assert error.startswith("error: ") and "broken.mp4: " in error
        assert counts.startswith(f"4 videos: {videos}") and counts.endswith("1 failed")
        assert end == "skipped 1 of 4 videos: see the errors above"
    assert told[0][0] == told[1][0]


def test_nothing_is_kept_and_nothing_is_read_without_a_cache(project, small_weights, caches):
    assert evaluate_here(small_weights, "--no-cache") == 0
    assert list(caches.rglob("*")) == []
    assert evaluate_here(small_weights) == 0
    assert size_of(caches / "trajectory-heatmaps") > 10**6
    with pytest.raises(AssertionError, match="text_network"):
        model = untouched("text_network")
        evaluator.main(model, "", [*quickly(small_weights), "--no-cache"])


def test_a_folder_of_ones_own(project, small_weights, caches, puts):
    assert evaluate_here(small_weights, "--cache-dir", "new/er") == 0
    kinds = [put[0] for put in puts]
    assert kinds.count("videos") == kinds.count("prompts") == 3 and size_of("new/er") > 10**6
    assert list(caches.rglob("*")) == []
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert run["arguments"]["cache_dir"] == "new/er"
    model = untouched("network")
    assert evaluator.main(model, "", [*quickly(small_weights), "--cache-dir", "new/er"]) == 0


def test_a_cache_holds_what_it_may(project, small_weights):
    arguments = ["--cache-dir", "cache", "--cache-size", "2.5e-5"]
    for earlier in ([], ["--cache-dir", "cache"]):
        if earlier:
            assert evaluate_here(small_weights, *earlier) == 0 and size_of("cache") > 10**6
        assert evaluate_here(small_weights, *arguments) == 0  # the second time it adds nothing
        assert 8192 <= size_of("cache") <= 25_000


def test_a_cache_that_cannot_be_written_is_one_warning(project, small_weights, capsys):
    assert evaluate_here(small_weights, "--no-cache") == 0
    before = results_of()
    write("cache/segments", "no folder")
    capsys.readouterr()
    assert evaluate_here(small_weights, "--cache-dir", "cache") == 0
    out, err = capsys.readouterr()
    assert out == "out/exp.png\n" and results_of() == before
    (warning,) = [line for line in err.splitlines() if "warning" in line]
    assert warning == (
        f"warning: embeddings cannot be kept for later runs: {project / 'cache'}: Not a directory"
    )


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "swapped"])
@pytest.mark.parametrize("suffix", ["index", "data"])
def test_damaged_entries_are_computed_again(project, small_weights, damage, suffix):
    assert evaluate_here(small_weights, "--cache-dir", "cache") == 0
    before = results_of()
    (path,) = Path("cache/segments").glob(f"*.{suffix}")
    content = path.read_bytes()
    damaged = {
        "cut": content[: len(content) // 2],
        "changed": bytes(byte ^ (i % 1000 == 7) for i, byte in enumerate(content)),
        "empty": b"",
        "swapped": content[len(content) // 2 :] + content[: len(content) // 2],
    }[damage]
    path.write_bytes(damaged)
    assert evaluate_here(small_weights, "--cache-dir", "cache") == 0
    assert results_of() == before
    assert (
        evaluator.main(untouched("network"), "", [*quickly(small_weights), "--cache-dir", "cache"])
        == 0
    )


def test_embeddings_are_those_behind_the_numbers(grouped, small_weights, clips):
    with open("trajectories.txt", "a") as file:
        file.write(f"\n{clips / 'broken.mp4'}\n")
    assert evaluate_here(small_weights) == 1
    found = read_embeddings()
    header, names, numbers = read_numbers("out/exp")
    assert found["trajectories"].tolist() == names
    assert found["prompts"].tolist() == [*header[1:], "a robot"]  # the baseline is no column
    assert found["videos"].dtype == found["texts"].dtype == np.float32
    assert found["videos"].shape == (3, 512) and found["texts"].shape == (5, 512)
    videos, texts = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (found["videos"], found["texts"][:4])
    )
    assert videos @ texts.T == pytest.approx(numbers, abs=1e-6)


def test_a_user_without_a_home_folder(project, small_weights, no_home, capsys):
    assert evaluate_here(small_weights) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "cannot be kept" in line]
    assert warning.endswith("this user has no home folder; --cache-dir names another")
    assert evaluate_here(small_weights, "--no-cache") == 0
    assert "cannot be kept" not in capsys.readouterr().err


def test_an_import_that_fails_in_the_background_is_quiet(monkeypatch):
    """What needs the module imports it again, and that error is told."""
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    with stages.imported_meanwhile("no_such_module"):
        pass
    assert told == []


@pytest.mark.parametrize("file", ["long.mp4", "broken.mp4"])
@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "a\udcffb"])
def test_a_videos_name_cannot_forge_a_message(project, small_weights, clips, capsys, name, file):
    write(f"odd/{name}.mp4", (clips / file).read_bytes())
    Path("trajectories.txt").write_text("odd\n")
    evaluate_here(small_weights, "-v")
    err = capsys.readouterr().err
    assert "odd/a\N{REPLACEMENT CHARACTER}" in err and name not in err


def test_names_in_any_encoding(project, small_weights, clips):
    """In a folder, as a list is UTF-8."""
    for n, name in enumerate(["long.mp4", "short one.mp4"]):
        write(project / f"odd/{n} \udcff\udc80.mp4", (clips / name).read_bytes())
    Path("trajectories.txt").write_text("odd\n")
    for _ in range(2):
        assert evaluate_here(small_weights) == 0
        names = read_embeddings()["trajectories"].tolist()
        assert names == [f"odd/{n} \udcff\udc80.mp4" for n in range(2)]
        assert all(Path(name).is_file() for name in names)


def test_an_interrupted_run_is_gone_on_with(project, small_weights, monkeypatch, capsys):
    asked = S3DModel.embed_clips

    def interrupted(*arguments):
        if interrupts.pop():
            raise KeyboardInterrupt
        return asked(*arguments)

    interrupts = [True, False, False]
    monkeypatch.setattr(batches, "split_work", lambda _: (1, 1))
    monkeypatch.setattr(S3DModel, "embed_clips", interrupted)
    assert evaluate_here(small_weights) == 130
    assert not Path("out").exists()
    assert capsys.readouterr().err.endswith("interrupted; nothing was written\n")
    interrupts = [False]
    assert evaluate_here(small_weights) == 0
    assert interrupts == [] and len(read_numbers("out/exp")[1]) == 3


def test_no_room_for_one_clip(project, small_weights, monkeypatch, capsys):
    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")

    monkeypatch.setattr(S3DModel, "embed_clips", full)
    assert evaluate_here(small_weights, "--batch-size", 4) == 1
    out, err = capsys.readouterr()
    assert out == "" and not Path("out").exists()
    assert err.splitlines()[-1] == ("not enough memory on cpu for one clip; nothing was written")
