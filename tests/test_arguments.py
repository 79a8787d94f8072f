"""The command line: what each option takes, and everything that is wrong with it at once."""

import pytest
from conftest import write

from trajeval.arguments import check_arguments, check_inputs
from trajeval.options import Option, choice, number, path, shared_options, whole
from trajeval.parsing import Parser, parse_options
from trajeval.terminal import SHOWN, UserError

pytestmark = pytest.mark.usefixtures("in_empty_folder")


class Shape:
    """What the command line asks of a model's class."""

    n_frames, even_frames, frames_shown = 32, True, None
    options = (Option("--size", "height and width", "PIXELS", whole(64, 512, even=True), 224),)

    @classmethod
    def check(cls, args):
        return ["--size 66: odd after halving"] if args.size == 66 else []


@pytest.fixture
def lists(in_empty_folder):
    write("a.mp4")
    write("b.mp4")
    write("p.txt", "open door\nclose door\n")
    write("t.txt", "a.mp4\nb.mp4\n")
    return ["-t", "t.txt", "-p", "p.txt", "-e", "x"]


def problems(*arguments):
    with pytest.raises(UserError) as caught:
        checked(*arguments)
    assert caught.value.status == 2
    return caught.value.problems


def checked(*arguments):
    return check_inputs(*check_arguments(Shape, "", list(arguments)))


def test_defaults(lists):
    args, prompts, trajectories = checked(*lists)
    assert [prompt.text for prompt in prompts] == ["open door", "close door"]
    assert [str(trajectory.path) for trajectory in trajectories] == ["a.mp4", "b.mp4"]
    assert (args.n_frames, args.size, args.batch_size, args.device) == (32, 224, None, "auto")
    assert (args.alpha, args.softmax, args.normalize, args.cache_size) == (0.5, None, None, 2.0)
    assert args.cache_dir.endswith("trajectory-heatmaps") and args.output_dir


def test_values_are_of_their_types(lists):
    args, *_ = checked(
        *lists,
        *("--n-frames", "16", "--size", "112", "--softmax", "--vmin", "-0.25", "--vmax", "1e-1"),
        *("--similarity", "cosine", "--cache-size", "0.5", "--batch-size", "3", "--no-cache"),
    )
    assert (args.n_frames, args.size, args.softmax, args.vmin) == (16, 112, 0.01, -0.25)
    assert (args.vmax, args.cache_size, args.batch_size, args.cache_dir) == (0.1, 0.5, 3, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-frames", "31"], "--n-frames 31: takes an even number from 2 to 1024"),
        (["--n-frames", "٣٢"], "--n-frames ٣٢: takes an even number from 2 to 1024"),
        (["--size", "66"], "--size 66: odd after halving"),
        (["--size", "600"], "--size 600: takes an even number from 64 to 512"),
        (["--batch-size", "1.5"], "--batch-size 1.5: takes a whole number from 1 to 4096"),
        (
            ["--device", "cuda:01"],
            "--device cuda:01: takes auto, cpu, cuda, cuda:N, mps, cuda:0,cuda:1 or cuda:all",
        ),
        (["--precision", "int8"], "--precision int8: takes auto, float32, tf32, bfloat16, float16"),
        (["--cache-size", "0"], "--cache-size 0: takes a number above 0, up to 1000000"),
        (["--cache-size", "1e300"], "--cache-size 1e300: takes a number above 0, up to 1000000"),
        (["--cache-size", "nan"], "--cache-size nan: takes a number above 0, up to 1000000"),
        (["--cache-size", "--"], "argument --cache-size: expected one argument"),
        (["--alpha", "--"], "argument --alpha: expected one argument"),
        (["--softmax=0"], "--softmax 0: takes a number above 0"),
        (["--similarity", "dot"], "--similarity dot: takes cosine, projection, goal-baseline"),
        (["--alpha", "0.5"], "--alpha: requires --similarity projection or goal-baseline"),
        (["--normalize", "vista", "--softmax"], "--softmax: cannot be combined with --normalize v"),
        (["--cache-dir", "c", "--no-cache"], "--cache-dir: cannot be combined with --no-cache"),
        (["--cache-dir", "p.txt/c"], "--cache-dir p.txt/c: p.txt is a file"),
        (["--cache-dir", "", "--no-cache"], "--cache-dir '': takes a path"),
        (["-o", ""], "--output-dir '': takes a path"),
        (["--vmin", "0.3", "--vmax", "0.3"], "--vmin 0.3: must be below --vmax 0.3"),
        (["--n-frame", "8"], "unknown option --n-frame: did you mean --n-frames?"),
        (["--sofmax"], "unknown option --sofmax: did you mean --softmax?"),
        (["--sise=128"], "unknown option --sise: did you mean --size?"),
        (["-cache-dir=c"], "unknown option -cache-dir: did you mean --cache-dir?"),
        (["--zzzzz"], "unknown option --zzzzz"),
        (["extra word"], 'unexpected argument "extra word": put names with spaces in quotes'),
        (["-e"], "argument -e/--experiment-id: expected one argument; --help shows all options"),
        (["-e", "../x"], "--experiment-id '../x': "),
    ],
)
def test_what_is_wrong_with_an_option(lists, arguments, message):
    found = problems(*lists, *arguments)
    assert found[0].startswith(message)
    if len(found) > 1:  # argparse itself stops at its first
        assert found[1:] == ["1 problem found; nothing was run"]


@pytest.mark.parametrize("flag", ["--", "-x"])
def test_too_short_an_option_is_like_no_other(lists, flag):
    assert problems(*lists, flag)[0] == f"unknown option {flag}"


def test_everything_that_is_wrong_at_once(lists):
    write("p.txt", b"ok\n\xff\n")
    found = problems("-t", "no.txt", "-p", "p.txt", "--n-frames", "x", "--verbos", "--size", "66")
    assert [problem.split(":")[0] for problem in found] == [
        *("unknown option --verbos", "--n-frames x", "--size 66", "-e NAME is missing"),
        *("p.txt", "no.txt", "6 problems found; nothing was run"),
    ]


def test_missing_lists_are_named_together():
    found = problems()
    assert [problem.partition(" is missing")[0] for problem in found[:-1]] == [
        *("-e NAME", "-p FILE", "-t FILE")
    ]


def test_the_first_of_many_wrong_entries(lists):
    write("t.txt", "".join(f"no_{i}.mp4\n" for i in range(2000)))
    found = problems(*lists)
    assert len(found) == SHOWN + 2
    assert found[-2] == f"... and {2000 - SHOWN} more problems in the trajectory list; -v shows all"
    assert found[-1] == "2000 problems found; nothing was run"
    assert len(problems(*lists, "-v")) == 2001


def test_groups_that_options_need(lists):
    assert "--max-per-group needs trajectory groups" in problems(*lists, "--max-per-group", "1")[0]
    assert "needs a group [baseline]" in problems(*lists, "--similarity", "projection")[0]
    assert "needs prompt groups" in problems(*lists, "--ensemble", "mean-embedding")[0]
    write("t.txt", "a.mp4")
    assert "needs two trajectories or more" in problems(*lists, "--normalize", "vista")[0]
    write("t.txt", "[baseline]\na.mp4")
    assert problems(*lists)[0].startswith("t.txt:2: [baseline] is reserved for prompts")
    write("p.txt", "[baseline]\na door")
    assert "p.txt: only has [baseline]" in problems(*lists)[0]


def test_the_first_of_each_group(lists):
    for name in ("c.mp4", "d.mp4"):
        write(name)
    write("t.txt", "[x]\na.mp4\nb.mp4\n[y]\nd.mp4\nc.mp4\n")
    _, _, trajectories = checked(*lists, "--max-per-group", "1")
    assert [(*t.groups, str(t.path)) for t in trajectories] == [("x", "a.mp4"), ("y", "d.mp4")]
    write("t.txt", "[x]\na.mp4\nb.mp4\nc.mp4\n[y]\nb.mp4\nd.mp4\n")
    _, _, trajectories = checked(*lists, "--max-per-group", "1")
    assert [(t.groups, str(t.path)) for t in trajectories] == [
        (("x",), "a.mp4"),
        (("x", "y"), "b.mp4"),
    ]


def test_ignored_columns_are_named_with_v(lists, capsys):
    write("t.csv", "path,task,group,fps\na.mp4,1,x,30\n")
    table = [*lists, "-t", "t.csv"]
    checked(*table)
    assert capsys.readouterr().err == ""
    checked(*table, "-v")
    assert capsys.readouterr().err == "t.csv: columns ignored: task, fps\n"


def test_each_option_stands_once_and_its_default_is_valid():
    options = [*shared_options(Shape), *Shape.options]
    flags = [flag for option in options for flag in option.flags.split(", ")]
    assert len(flags) == len(set(flags))
    for option in options:
        if option.optional is not None:
            option.parse(option.optional)
        if option.default is not None:
            assert option.parse(option.default_shown) == option.default


def test_help_names_every_option_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # so that no text is broken at a hyphen
    with pytest.raises(SystemExit) as ended:
        parse_options(Parser("What it does"), shared_options(Shape), ["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "What it does" in text
    for option in shared_options(Shape):
        assert option.flag in text and option.help in text
    assert "(default: off)" in text and "(default: 32)" in text


def test_parsers():
    assert (whole(1, 5)("5"), choice("a", "b")("b"), path("x y")) == (5, "b", "x y")
    assert number(lambda x: x < 1, "below 1")("-2.5") == -2.5
    for parse, text in ((whole(1, 5), "6"), (whole(2, 8, even=True), "3"), (choice("a"), "b")):
        with pytest.raises(ValueError, match="^takes "):
            parse(text)
    for text in ("", " ", "a\0b"):
        with pytest.raises(ValueError, match="takes a path"):
            path(text)
