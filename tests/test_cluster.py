"""--ray and several devices: the numbers of one process, whatever happens to the workers."""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import refused, write
from killed import kill_often, make_lists, start_script
from make_videos import counting_frames, write_video
from standin import Standin, StandinJudge

from trajeval import arguments, devices
from trajeval.devices import are_several, devices_of, limit_to, n_cores, split_cores, split_work
from trajeval.evaluator import main
from trajeval.sources import Source
from trajeval.videos import VideoError
from trajeval.views import WHOLE
from trajeval.workers import Place, Worker, recipe_of

if find_spec("ray") is None:  # not imported: cluster.py sets what Ray reads when it is
    pytest.skip("no ray: uv run --group cluster pytest", allow_module_level=True)
LISTS = ["-t", "t.txt", "-p", "p.txt", "-o", "out", "--device", "cpu"]
N = 24
OVER = 180  # seconds: the machine may be loaded


@pytest.fixture
def lists(in_empty_folder):
    for i in range(N):
        frames = counting_frames(4 + i % 5, 32, 32) // (1 + i)
        write_video(f"{i}.mov", frames, codec="png", pix_fmt="rgb24", fps=10)
    write("t.txt", "\n".join(f"{i}.mov" for i in range(N)))
    write("p.txt", "it is red\nall of it is blue\n")
    Path("pids").mkdir()


@pytest.fixture
def run(lists, capsys):
    """Runs a model; the exit status and what it says."""

    def run(name, *options, model=Standin):
        capsys.readouterr()
        status = main(model, "", [*LISTS, "-e", name, *map(str, options)])
        out, err = capsys.readouterr()
        assert out in ("", f"out/{name}.png\n")
        return status, err

    return run


def assert_equal(name, other):
    """Results are the same bit for bit."""
    for file in ("similarities.npy", "similarities.csv", "embeddings.npz"):
        one, two = Path("out", name, file), Path("out", other, file)
        assert one.exists() == two.exists()
        assert not one.exists() or one.read_bytes() == two.read_bytes()


def pids():
    return [int(path.name) for path in Path("pids").iterdir()]


def busy():
    """The processes that have had a clip; the one that was last the first to have one at the
    end."""
    return sorted(
        (pid for pid in pids() if Path(f"pids/{pid}").read_text()),
        key=lambda pid: Path(f"pids/{pid}").stat().st_mtime_ns,
    )


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition):
    end = time.monotonic() + OVER
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def go_once(condition, *actions):
    """Beside the block: once that is so, does something, and lets the clips of --until go."""

    def work():
        try:
            wait_for(condition)
            for act in actions:
                act()
        finally:
            Path("go").touch()

    with ThreadPoolExecutor() as executor:
        future = executor.submit(work)
        yield
        future.result()


# without Ray


def test_names_of_several_devices(monkeypatch):
    import torch

    assert devices_of("cpu") == ["cpu"]
    assert not any(map(are_several, ("auto", "cpu", "cuda", "cuda:1")))
    assert are_several("cuda:0,cuda:1") and are_several("cuda:all")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices_of("cuda:2,cuda:0") == ["cuda:2", "cuda:0"]
    assert devices_of("cuda:all") == ["cuda:0", "cuda:1", "cuda:2"]
    assert "there are 3 CUDA devices" in refused(devices_of, "cuda:0,cuda:3")


def test_several_devices_that_are_not_there(run):
    assert run("mine", "--device", "cuda:0,cuda:1") == (
        2,
        "--device cuda: PyTorch finds no CUDA device here: use --device cpu\n",
    )


@pytest.mark.parametrize(
    "option",
    [
        *("--device cuda:0,cuda:0", "--device cuda:0,cpu", "--device cuda:all,cuda:1"),
        *("--ray ray://a:1", "--ray nowhere", "--device cuda:", "--device ,"),
    ],
)
def test_what_is_no_place(run, option):
    status, err = run("mine", *option.split())
    assert status == 2 and f"{option}: " in err and "Traceback" not in err


@pytest.mark.parametrize("option", ["--ray", "--device cuda:all"])
def test_a_missing_ray_is_one_error(run, monkeypatch, option):
    monkeypatch.setattr(arguments, "find_spec", lambda name: None)
    status, err = run("mine", *option.split())
    given = option + " local" * (option == "--ray")
    assert status == 2
    assert err.startswith(f'{given}: the package "ray" is not installed: run with `uv run --extra')


def test_shares_of_a_machine(monkeypatch):
    assert [split_cores(n) for n in (1, 2, 3, 4, 6, 16)] == [
        *((1, 1), (2, 1), (3, 1), (4, 1), (4, 1), (4, 4))
    ]
    monkeypatch.setattr(devices, "_limits", {})
    limit_to(4, 1)
    assert n_cores() == 4 and split_work("cpu") == (1, 4)
    limit_to(3, None)
    assert n_cores() == 3 and split_work("cpu") == (3, 1)


@pytest.fixture
def worker(lists, monkeypatch):
    """One on another machine, but in this process."""
    monkeypatch.setattr(devices, "_limits", {})
    model = Standin(device="cpu")
    args = SimpleNamespace(device="cpu", cache_dir=None, cache_size=1, ray="a:1")
    found = Worker(Place("1", "far", "cpu", 1, 1), recipe_of(model, args))
    assert found.load() == []
    return found


def test_errors_name_the_machine(worker):
    good, gone = Source("0.mov"), Source("gone.mov")
    requests = [(one, {WHOLE: [None]}) for one in (good, gone, good)]
    answers = list(worker.embed(requests, [None, "a" * 128, "b" * 128], None))
    assert answers[0].values[WHOLE].shape == (1, 3)
    assert all(isinstance(answer, VideoError) for answer in answers[1:])
    assert str(answers[1]).startswith("gone.mov: ") and str(answers[1]).endswith(" (on far)")
    assert str(answers[2]) == "0.mov: on far it is another file than here"


# with Ray, on this machine

slow = pytest.mark.slow
VIEWS = ["--curves", "prefix", "--curve-points", "3", "--controls"]


@slow
@pytest.mark.parametrize("model", [Standin, StandinJudge])
def test_the_numbers_of_one_process(run, model, monkeypatch):
    handler = signal.getsignal(signal.SIGTERM)
    assert run("one", *VIEWS, "--no-cache", model=model)[0] == 0
    assert run("ray", *VIEWS, "--ray", "--pids", "pids", model=model)[0] == 0
    assert 1 <= len(pids()) <= split_cores(n_cores())[0] and os.getpid() not in pids()
    assert_equal("one", "ray")
    for name in ("curves.npz", "controls.npz"):
        one, ray = (np.load(f"out/{folder}/{name}") for folder in ("one", "ray"))
        assert all(one[key].tobytes() == ray[key].tobytes() for key in one)
    assert signal.getsignal(signal.SIGTERM) == handler
    monkeypatch.setattr(sys.modules["ray"], "init", None)  # what is kept needs no Ray
    err = run("kept", *VIEWS, "--ray", model=model)[1]
    assert f"{N} from the cache" in err
    assert_equal("one", "kept")
    assert json.loads(Path("out/ray/run.json").read_text())["arguments"]["ray"] == "local"


@slow
def test_workers_that_are_killed(run):
    """While they have videos: others do what they had not done."""
    killed, workers = [], split_cores(n_cores())[0]

    def kill():
        killed.append(busy()[-1])
        os.kill(killed[-1], signal.SIGKILL)

    def kill_again():  # the one in the place of the first
        wait_for(lambda: len(busy()) == workers + 1)
        kill()

    with go_once(lambda: len(busy()) == workers, kill, kill_again):
        status, err = run("ray", "--ray", "--pids", "pids", "--until", "go")
    assert status == 0 and len(killed) == 2, err
    assert err.count("warning: a worker has ended; what it was doing is done again\n") == 2
    assert f"{N} videos: {N} computed" in err
    assert run("one", "--no-cache")[0] == 0
    assert_equal("one", "ray")


@slow
def test_a_video_that_ends_its_worker(run):
    write_video("5.mov", np.full((4, 32, 32, 3), 255, np.uint8), codec="png", pix_fmt="rgb24")
    status, err = run("ray", "--ray", "--deadly", "video")
    assert status == 1
    assert "error: 5.mov: the process that reads it has ended twice, with no other video" in err
    assert f"{N} videos: {N - 1} computed" in err and "1 failed" in err
    os.unlink("5.mov")
    write("t.txt", "\n".join(f"{i}.mov" for i in range(N) if i != 5))
    assert run("one", "--no-cache")[0] == 0
    assert_equal("one", "ray")


@slow
def test_models_that_cannot_be_loaded(run):
    status, err = run("ray", "--ray", "--deadly", "error")
    assert status == 1
    assert err.endswith("w.pth: no weights here\nand no advice; nothing was written\n")
    status, err = run("ray", "--ray", "--deadly", "loading")
    assert status == 1 and "Ray: all workers have ended, the last ones while they loaded" in err
    assert not Path("out/ray.png").exists()


@slow
@pytest.mark.parametrize("to_all", [False, True])
def test_ctrl_c_ends_the_workers(lists, to_all, tmp_path):
    """As a shell sends it, to all processes of the command, or as `kill` does, to one."""
    script = write(
        tmp_path / "script.py",
        "from standin import Standin\nfrom trajeval.evaluator import main\n"
        "from trajeval.terminal import run_script\nrun_script(lambda: main(Standin, ''))\n",
    )
    options = ["-e", "ray", "--ray", "--pids", "pids", "--until", "never"]
    process = start_script(script, *LISTS, *options)
    wait_for(busy)
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=OVER)
    assert process.returncode == 130 and out == ""
    assert err.strip().splitlines()[-1] == "interrupted; nothing was written"
    assert "Traceback" not in err and "ray" not in err.lower()
    assert pids()
    wait_for(lambda: not any(map(is_alive, pids())))


@slow
def test_killed_again_and_again(in_empty_folder):
    """The run with all that Ray has started; what was kept is not computed again."""
    import trajeval.cluster

    Path("pids").mkdir()
    make_lists(200)
    at_work = trajeval.crew.AHEAD * (
        1 + split_cores(n_cores())[0]
    )  # the others' answers wait for the first's
    kill_often(4, at_work, 6, "--ray", "--seconds", "0.1", "--pids", "pids")
    wait_for(lambda: not any(map(is_alive, pids())))


@slow
def test_no_cluster_at_an_address(run):
    status, err = run("ray", "--ray", "127.0.0.1:9")
    assert status == 1 and err.startswith("--ray 127.0.0.1:9: ") and "Traceback" not in err
