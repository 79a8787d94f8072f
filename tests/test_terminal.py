"""What the user reads, and how a script ends."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from conftest import hear_ctrl_c

from trajeval import terminal
from trajeval.terminal import (
    SHOWN,
    UserError,
    answer,
    first_few,
    plural,
    printable,
    progress,
    run_command,
    tell,
    telling_few,
)

ROOT = Path(__file__).parent.parent


def script(body, **options):
    """A process that runs the body as a script's main; its last line is the status."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    code = (
        "import sys, time\nfrom trajeval.terminal import *\n"
        f"def main():\n{lines}\n"
        "run_script(lambda: run_command(main))\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, preexec_fn=hear_ctrl_c, **pipes)


def test_errors_are_told_once_with_their_status(capsys):
    def command(problems, status):
        raise UserError(*problems, status=status)

    assert run_command(command, ["a: wrong", "b: wrong"], 2) == 2
    assert capsys.readouterr() == ("", "a: wrong\nb: wrong\n")
    assert run_command(command, ["no room"], 1) == 1
    assert run_command(lambda: 0) == 0


def test_a_missing_package_is_one_line(capsys):
    def command():
        import no_such_package.part  # noqa: F401

    assert run_command(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('the package "no_such_package" is not installed: ')
    assert "uv run" in line and "pip install ." in line


def test_a_mistake_of_ours_is_not_hidden():
    def command():
        from trajeval import no_such_module  # noqa: F401

    with pytest.raises(ImportError):
        run_command(command)


def test_a_package_that_the_system_cannot_load_is_one_line(capsys):
    def command():
        raise ImportError("libx.so: failed to map segment", name="_C", path="torch/_C.so")

    assert run_command(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("torch/_C.so cannot be loaded: libx.so: failed to map segment: ")


def test_a_deleted_current_folder(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run_command(lambda: 0) == 2
    monkeypatch.chdir(tmp_path)
    assert capsys.readouterr().err.startswith("the current folder has been deleted")


def test_a_message_cannot_control_the_terminal(capsys):
    tell("a\x1b[31mb\r\u202e\u3000\nsecond line")
    bad = "\N{REPLACEMENT CHARACTER}"
    assert capsys.readouterr().err == f"a{bad}[31mb{bad}{bad}\u3000\nsecond line\n"


def test_a_drawing_backend_that_does_not_exist():
    """Matplotlib fails to import with it; figures go into files, so none is needed."""
    body = "import matplotlib\nprint(matplotlib.get_backend().lower())\nreturn 0"
    process = script(body, env=os.environ | {"MPLBACKEND": "nonsense"})
    assert process.communicate(timeout=60) == ("agg\n", "")
    assert process.returncode == 0


def test_an_interrupt_says_what_it_means(capsys):
    def command():
        raise KeyboardInterrupt("nothing was written")

    assert run_command(command) == 130
    assert capsys.readouterr().err == "\ninterrupted; nothing was written\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_once_or_twice_is_130(number, times):
    body = (
        "try:\n    print('on', flush=True)\n    time.sleep(60)\n"
        "finally:\n    print('end', flush=True)\n    time.sleep(SLEEP)"
    )
    process = script(body.replace("SLEEP", "60" if times == 2 else "0"))
    assert process.stdout.readline() == "on\n"
    process.send_signal(number)
    assert process.stdout.readline() == "end\n"
    if times == 2:
        process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_an_interrupt_within_an_import_is_not_lost():
    """Python's own code, and that of packages, may swallow the exception there."""
    body = (
        "import os, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            time.sleep(5)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import colorsys\n"
        "return 0"
    )
    process = script(body)
    assert process.communicate(timeout=20) == ("", "\ninterrupted\n")
    assert process.returncode == 130


def test_an_interrupt_after_the_end_changes_nothing():
    code = (
        "import atexit, time\nfrom trajeval.terminal import run_script\n"
        "atexit.register(lambda: (print('ending', flush=True), time.sleep(1)))\n"
        "run_script(lambda: 0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, preexec_fn=hear_ctrl_c
    )
    assert process.stdout.readline() == b"ending\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("name", ["s3d_evaluator", "viclip_evaluator", "clip_evaluator"])
def test_an_interrupt_while_importing_is_quiet(name):
    """At any moment of the start, once Python itself is up."""
    code = (
        "import os, runpy, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'trajeval.{'cache'}':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        f"sys.argv = ['{name}.py']\n"
        f"runpy.run_path('{name}.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        **{"cwd": ROOT, "capture_output": True, "text": True, "preexec_fn": hear_ctrl_c},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_reader_that_has_gone_is_no_error():
    body = "time.sleep(0.5)\nanswer('out/exp.png')\nreturn 0"
    process = script(body)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=20) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_is_told():
    with open("/dev/full", "w") as full:
        process = script("answer('out/exp.png')\nreturn 0", stdout=full)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err == (
        "standard output cannot be written to (No space left on device); the result is "
        "out/exp.png\n"
    )


@pytest.mark.parametrize("closed", [[1], [2], [1, 2]])
def test_closed_streams_do_no_harm(closed, tmp_path):
    written = tmp_path / "written"
    code = (
        "import pathlib, sys\nfrom trajeval.terminal import *\n"
        "def main():\n"
        "    tell('a message')\n"
        "    answer('x.png')\n"
        "    pathlib.Path(sys.argv[1]).write_text('y')\n"
        "    return 0\n"
        "run_script(lambda: run_command(main))"
    )
    shut = " ".join(f"{number}>&-" for number in closed)
    command = ["sh", "-c", f'"$0" -c "$1" "$2" {shut}', sys.executable, code, str(written)]
    assert subprocess.run(command, cwd=ROOT, timeout=60).returncode == 0
    assert written.read_text() == "y"


def test_only_the_first_few_of_a_kind(capsys):
    lines = [f"line {i}" for i in range(SHOWN + 5)]
    shown, rest = lines[:SHOWN], "... and 5 more warnings"
    assert first_few(lines, "warnings") == [*shown, rest]
    assert first_few(lines, "warnings", verbose=False) == [*shown, f"{rest}; -v shows all"]
    assert first_few(lines, "warnings", verbose=True) == lines
    assert first_few(shown, "warnings") == shown
    for verbose, end in ((False, ["... and 5 more errors; -v shows all"]), (True, lines[SHOWN:])):
        with telling_few("errors", verbose) as tell_one:
            for line in lines:
                tell_one(line)
        assert capsys.readouterr().err.splitlines() == [*shown, *end]


def test_plural():
    assert [plural(n, "video") for n in (0, 1, 2)] == ["0 videos", "1 video", "2 videos"]


def test_names_are_printable():
    assert printable("a\x1b[31mb\nc") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c"
    assert printable("走る $x_1$ <b>") == "走る $x_1$ <b>"
    long = printable("abc" * 1000 + "end", 30)
    assert len(long) == 30 and long.startswith("abcabc") and long.endswith("end") and "…" in long


def test_progress_in_lines(capsys, monkeypatch):
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    with progress("embedding", 8, "videos") as advance:
        for _ in range(8):
            advance(1)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "embedding: 2 of 8 videos" and len(told) > 1
    with progress("downloading x.pth", 400, "B") as advance:
        advance(100)
        advance(100)
    assert capsys.readouterr().err.splitlines() == ["downloading x.pth: 50%"]


def on_a_terminal(body) -> bytes:
    """What a script's main shows there."""
    end_user, end_program = pty.openpty()
    fcntl.ioctl(end_program, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = script(body, stderr=end_program)
    os.close(end_program)
    shown, deadline = b"", time.monotonic() + 20
    try:
        while (block := os.read(end_user, 4096)) and time.monotonic() < deadline:
            shown += block
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(end_user)
    assert process.wait(timeout=20) == 0
    return shown


def test_progress_on_a_terminal():
    shown = on_a_terminal(
        "with progress('embedding', 3, 'videos') as advance:\n"
        "    for _ in range(3):\n        advance(1)\n        tell('seen')\n"
        "return 0"
    )
    assert b"3/3 [" in shown and b"videos/s" in shown and shown.count(b"seen") == 3


def test_answers_go_to_standard_output(capsys):
    answer("out/exp.png")
    assert capsys.readouterr() == ("out/exp.png\n", "")
