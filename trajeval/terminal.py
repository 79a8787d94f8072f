"""What the user reads: messages, progress, errors and exit statuses."""

import io
import os
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

# Seconds between lines of progress where standard error is not a terminal: at first, at most.
PROGRESS_EVERY, PROGRESS_AT_MOST = 10, 600
SHOWN = 10  # messages of one kind that are shown; the rest are counted
INSTALL = "run the script with `uv run`, or install its packages with `pip install .` in its folder"


class UserError(Exception):
    """What a user is to read in place of a traceback.

    problems: the messages, one for each thing that is wrong. status: the program's exit status, 2
    for wrong input (nothing was run), 1 for a run that failed.
    """

    def __init__(self, *problems: str, status: int = 2):
        super().__init__(*problems)
        self.problems, self.status = list(problems), status

    def __str__(self) -> str:
        return "\n".join(self.problems)


def run_script(main: Callable[[], int]) -> None:
    """Runs a script's main and ends the process with its exit status, 130 if interrupted at any
    moment. SIGTERM, which schedulers send, counts as Ctrl-C. Once main has returned, its status
    holds, whatever arrives while threads end."""
    os.environ["MPLBACKEND"] = "agg"  # draws into files; the user's may be missing or misspelt
    sys.stdout, sys.stderr = sys.stdout or _no_stream(), sys.stderr or _no_stream()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may be in any encoding
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        status = main()
    except KeyboardInterrupt:  # in the moment before main could say so
        status = 130
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it: Python would complain again while it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


def exit_on_interrupt() -> None:
    """Until run_script is called: ends the process with status 130 on Ctrl-C, without a
    traceback. For the moments in which a script is still importing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(130))


def run_command(command: Callable[..., int], *arguments) -> int:
    """What a command returns, its exit status; of a UserError, a package that cannot be imported
    or Ctrl-C, the message is shown and the status returned that belongs to it."""
    try:
        check_current_folder()
        return command(*arguments)
    except UserError as error:
        tell(error)
        return error.status
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package == "trajeval":
            raise
        tell(f'the package "{package}" is not installed: {INSTALL}')
        return 2
    except ImportError as error:
        if not (error.path or "").endswith((".so", ".pyd")):  # not the system's loader
            raise
        tell(f"{error.path} cannot be loaded: {error}: not enough memory, or a damaged package")
        return 1
    except KeyboardInterrupt as error:
        tell("\ninterrupted" + "".join(f"; {consequence}" for consequence in error.args))
        return 130


def check_current_folder() -> None:
    """Raises UserError if the current folder was deleted: relative paths then mean nothing."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("the current folder has been deleted: change to another one") from None


def tell(message) -> None:
    """Shows a message on standard error, above a progress bar if there is one. Whatever is in it,
    it cannot control the terminal."""
    text = "".join(char if char == "\n" else _harmless(char) for char in str(message))
    with suppress(OSError, ValueError):  # nobody reads it, or it is closed
        if "tqdm" in sys.modules:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)
        else:
            print(f"{text}\n", end="", file=sys.stderr, flush=True)  # whole, beside other threads'


def first_few(messages: Iterable[str], kind: str, verbose: bool | None = None) -> list[str]:
    """The first ten of some messages of one kind ("warnings"), and one that counts the rest; all
    with -v. verbose: whether that was given, None for a command that does not have it."""
    messages = iter(messages)
    shown = list(messages if verbose else islice(messages, SHOWN))
    if not (n := sum(1 for _ in messages)):
        return shown
    hint = "" if verbose is None else "; -v shows all"
    return [*shown, f"... and {n} more {kind}{hint}"]


def tell_all(messages: Iterable[str], kind: str, verbose: bool | None = None) -> None:
    """Shows the first ten of some messages of one kind, and says how many more there are."""
    for message in first_few(messages, kind, verbose):
        tell(message)


@contextmanager
def telling_few(kind: str, verbose: bool) -> Iterator[Callable[[str], None]]:
    """The same for messages that come one by one: yields the function to call with each."""
    messages: list[str] = []

    def tell_one(message: str) -> None:
        messages.append(message)
        if verbose or len(messages) <= SHOWN:
            tell(message)

    yield tell_one
    tell_all(first_few(messages, kind, verbose)[SHOWN:] if not verbose else [], kind)


def plural(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def answer(text) -> None:
    """Prints a command's result on standard output. Raises UserError, with status 1, if it cannot
    be written to; a reader that has gone is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        pass
    except OSError as error:
        raise UserError(
            f"standard output cannot be written to ({error.strerror}); the result is "
            f"{printable(str(text))}",
            status=1,
        ) from None


def printable(text: str, width: int = 200) -> str:
    """Text from a file, a name or a server, safe to show: on one line, without control characters
    (a terminal would obey them), cut in the middle to `width` characters."""
    if not text.isprintable():
        text = "".join(map(_harmless, text))
    if len(text) <= width:
        return text
    head = width // 3
    return f"{text[:head]}…{text[head + 1 - width :]}"


@contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Shows how far a long job is: a bar on a terminal, else lines, see `pause_after`. Yields the
    function to call with how much was done since the last call. what: "downloading x.pth"; total:
    in units; unit: "B" for bytes, else such as "videos"."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        rate = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
        kinds = {"unit": unit, "unit_scale": True} if unit == "B" else {"unit": f" {unit}"}
        with tqdm(desc=what, total=total, bar_format=rate, file=sys.stderr, **kinds) as bar:
            yield bar.update
        return
    done, start = 0, time.monotonic()
    told = start

    def advance(n):
        nonlocal done, told
        done, now = done + n, time.monotonic()
        if now - told >= pause_after(told - start):
            told = now
            amount = f"{done / max(total, 1):.0%}" if unit == "B" else f"{done} of {total} {unit}"
            tell(f"{what}: {amount}")

    yield advance


def pause_after(seconds: float) -> float:
    """How long after a line of progress the next one follows. seconds: how long the job had taken.
    Ever longer: a log of three days has some 500 lines."""
    return min(max(PROGRESS_EVERY, seconds / 10), PROGRESS_AT_MOST)


def _harmless(char: str) -> str:
    is_shown = char.isprintable() or unicodedata.category(char) == "Zs"  # other spaces
    return char if is_shown else "\N{REPLACEMENT CHARACTER}"


def _no_stream():
    """A stream that takes everything, in place of one that was closed before the start."""
    return open(os.devnull, "w")


def _interrupt(_, frame) -> None:
    """The first time, what is under way is cleaned up; the second time, it is not. Nor within an
    import, where an exception may be swallowed, or turned into an ImportError, or leave the import
    lock taken, so that other threads wait for ever."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(130))
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            with suppress(OSError):
                os.write(2, b"\ninterrupted\n")
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt
