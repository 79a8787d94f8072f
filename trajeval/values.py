"""What the values of options may be: each function reads the text given, or makes one that does,
and raises ValueError with what it takes."""

import math
import re
from collections.abc import Callable


def whole(low: int, high: int, even: bool = False) -> Callable[[str], int]:
    kind = "an even number" if even else "a whole number"

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else None
        if number is None or not low <= number <= high or (even and number % 2):
            raise ValueError(f"takes {kind} from {low} to {high}")
        return number

    return parse


def number(allowed: Callable[[float], bool], what: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and allowed(value)):
            raise ValueError(f"takes a number {what}")
        return value

    return parse


def choice(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"takes {', '.join(names)}")
        return text

    return parse


def path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("takes a path")
    return text


def device(text: str) -> str:
    one = r"cuda:(?:\d|[1-9]\d)"
    names = text.split(",")
    if not re.fullmatch(rf"auto|cpu|mps|cuda|cuda:all|{one}(?:,{one})*", text, re.ASCII):
        raise ValueError("takes auto, cpu, cuda, cuda:N, mps, cuda:0,cuda:1 or cuda:all")
    if len(set(names)) < len(names):
        raise ValueError("names a device twice")
    return text


def ray_address(text: str) -> str:
    if not re.fullmatch(r"local|auto|[^\s/]+:\d{1,5}", text, re.ASCII):
        raise ValueError("takes HOST:PORT of a cluster, auto (the one that runs here) or no value")
    return text


def shard(text: str) -> tuple[int, int]:
    """I/N -> I and N."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    own, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= own <= count:
        raise ValueError("takes I/N, such as 1/8 to 8/8")
    return own, count
