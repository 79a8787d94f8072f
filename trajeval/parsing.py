"""Options of a command line, parsed as they are declared.

Start-up matters: nothing here imports anything heavy.
"""

import argparse
from difflib import get_close_matches
from typing import Any, NoReturn

from trajeval.options import Option
from trajeval.terminal import UserError


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose errors are UserErrors."""

    def __init__(self, description: str):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help shows all options")


def parse_options(
    parser: argparse.ArgumentParser, options: list[Option], argv: list[str] | None
) -> tuple[argparse.Namespace, list[str]]:
    """The values of options, and a message for each one that is wrong (its value is then None).
    What the parser itself takes, such as positional arguments, may be added to it before."""
    for option in options:
        text = option.help.replace("%", "%%")
        if option.default_shown:
            text += f" (default: {option.default_shown})"
        kinds: dict[str, Any] = {"help": text}
        if option.metavar is None:
            kinds["action"] = "store_true"
        else:
            kinds["metavar"] = option.metavar
        if option.optional is not None:
            kinds |= {"nargs": "?", "const": option.optional}
        parser.add_argument(*option.flags.split(", "), **kinds)
    args, unknown = parser.parse_known_args(argv)
    problems = [
        unknown_argument(text, parser)
        for before, text in zip(["", *unknown], unknown)
        if text.startswith("-") or not before.startswith("-")  # else the value of an unknown option
    ]
    for option in options:
        text = getattr(args, option.name)
        if option.metavar is None:
            continue
        if text is None:
            setattr(args, option.name, option.default)
            continue
        setattr(args, option.name, None)
        try:
            if not isinstance(text, str):  # what argparse makes of "--alpha --"
                raise ValueError("takes a value")
            setattr(args, option.name, option.parse(text))
        except ValueError as error:
            given = text if text and isinstance(text, str) else "''"
            problems.append(f"{option.flag} {given}: {error}")
    return args, problems


def unknown_argument(text: str, parser: argparse.ArgumentParser) -> str:
    if not text.startswith("-"):
        return f'unexpected argument "{text}": put names with spaces in quotes'
    flag = text.partition("=")[0]
    flags = [flag for action in parser._actions for flag in action.option_strings]
    found = get_close_matches(flag, [f for f in flags if f.startswith("--")], n=1)
    return f"unknown option {flag}" + (f": did you mean {found[0]}?" if found else "")
