"""Reads problem sets of the ViSTa data set.

A problem set is one question with several answers: TASK.yaml holds a prompt for each label, and
TASK_data.json beside it names the videos and their labels (Wybitul et al., "ViSTa Dataset: Do
vision-language models understand sequential tasks?", 2024; the format is described in
`evaluation/README.md` of `Eugleo/vista-dataset` on GitHub).
"""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from trajeval.files import open_regular
from trajeval.lists import wrong_group, wrong_line, wrong_prompt
from trajeval.terminal import UserError

MAX_TASK, MAX_DATA = 1 << 24, 1 << 28  # bytes; of some two million videos
STRING = "tag:yaml.org,2002:str"


class ProblemSet(NamedTuple):
    """A prompt for each label, the neutral prompt if there is one, the videos, each with one label
    or more."""

    prompts: dict[str, str]
    baseline: str | None
    videos: list[tuple[Path, list[str]]]


def data_of(task: Path) -> Path:
    """TASK_data.json of TASK.yaml."""
    return task.with_name(f"{task.stem}_data.json")


def read_problem_set(task: Path, video_dir: Path | None) -> ProblemSet:
    """Reads TASK.yaml and TASK_data.json. The videos' paths start from `video_dir`; by default from
    the folder of TASK_data.json, then the current one. Raises UserError with all that is wrong."""
    problems: list[str] = []
    prompts, baseline, videos = None, None, []
    try:
        prompts, baseline = read_task(task, problems)
    except UserError as error:
        problems += error.problems
    try:
        videos = read_data(data_of(task), prompts, video_dir, problems)
    except UserError as error:
        problems += error.problems
    if problems or prompts is None:
        raise UserError(*problems)
    return ProblemSet(prompts, baseline, videos)


# --- TASK.yaml


def read_task(path: Path, problems: list[str]) -> tuple[dict[str, str], str | None]:
    """The prompts of TASK.yaml by label, and the baseline or None. What is wrong with one of them
    is added to the problems; raises UserError if there are no labels."""
    fields = read_mapping(path, compose(path), problems)
    if "label_prompts" not in fields:
        raise UserError(f"{path}: no label_prompts: add it, with a prompt for each label")
    line, node = fields["label_prompts"]
    labels = read_mapping(path, node, problems, "the label ")
    if not labels:
        raise UserError(f"{path}:{line}: label_prompts takes lines of the form label: prompt")
    prompts = {}
    for label, (line, node) in labels.items():
        prompts[label] = prompt_of(f"{path}:{line}: the prompt of {label!r}", node, problems)
        if wrong := wrong_group(label):
            problems.append(f"{path}:{line}: the label {label!r} {wrong}: rename it")
    line, node = fields.get("prompt_baseline", (None, None))
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return prompts, None
    return prompts, prompt_of(f"{path}:{line}: prompt_baseline", node, problems)


def compose(path: Path):
    """The root node of a YAML file, None if there is none. It is only composed, by the safe loader:
    nothing is constructed or run. Unlike the result of `safe_load`, nodes know their lines, and
    repeated keys are all kept. Raises UserError."""
    import yaml  # here, as --help does without it

    text = read_text(path, MAX_TASK)
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        newlines = text.count("\n", 0, error.position)
        line, problem = f":{newlines + 1}", f"contains the character U+{error.character:04X}"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = error.problem or error.context
    except (ValueError, OverflowError):  # from within the loader
        line, problem = "", "an escape sequence that is not a character"
    except RecursionError:
        line, problem = "", "nested too deeply"
    raise UserError(f"{path}{line}: not YAML of a problem set: {problem}")


def read_mapping(path: Path, node, problems: list[str], what: str = "") -> dict:
    """A YAML mapping as key -> (line, node), empty if it is something else. Labels, for which
    `what` is given, must be strings; as in the lists, spaces around them are ignored."""
    found: dict = {}
    if node is None or node.id != "mapping":
        return found
    for key, value in node.value:
        line = key.start_mark.line + 1
        if what and (key.id != "scalar" or key.tag != STRING):
            shown = f"{key.value!r} " if key.id == "scalar" else ""
            problems.append(f"{path}:{line}: {what}{shown}is not a string in YAML: quote it")
        if key.id != "scalar":
            continue
        name = key.value.strip() if what else key.value
        if name in found:
            spaces = " (spaces around it are ignored)" if what else ""
            problems.append(
                f"{path}:{line}: {what}{name!r} is already in line {found[name][0]}{spaces}: "
                "remove one of them"
            )
        found.setdefault(name, (line, value))
    return found


def prompt_of(where: str, node, problems: list[str]) -> str:
    """The prompt of a YAML node; what is wrong with it is added to the problems."""
    if node.id != "scalar" or node.tag != STRING:
        problems.append(f"{where} is not a string in YAML: quote it")
        return ""
    prompt = node.value.strip()
    if wrong := wrong_prompt(prompt):
        problems.append(f"{where} {wrong}: reword it, as one line of text")
    return prompt


# --- TASK_data.json


def read_data(
    path: Path, labels: dict[str, str] | None, video_dir: Path | None, problems: list[str]
) -> list[tuple[Path, list[str]]]:
    """The videos of TASK_data.json with their labels. What is wrong with one of them is added to
    the problems (a label without a prompt, unless `labels` is None); raises UserError if there are
    no videos."""
    try:
        data = json.loads(read_text(path, MAX_DATA), object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a problem set: {error}") from None
    if not isinstance(data, list) or not data:
        raise UserError(f"{path}: takes a list of videos, each with a path and a label")
    videos = []
    for number, item in enumerate(data, 1):
        where = f"{path}: entry {number}"
        if not isinstance(item, dict):
            problems.append(f"{where} is not an object with a path and a label")
            continue
        wrong = [key for key in ("path", "label") if not isinstance(item.get(key), str)]
        if wrong:
            problems.append(f"{where} needs a string as its {' and its '.join(wrong)}")
            continue
        own = labels_of(item["label"], labels or {})
        try:
            videos.append((find_video(item["path"], path.parent, video_dir), own))
        except ValueError as error:
            problems.append(f"{where}: {error}")
        problems += [
            f"{where}: the label {label!r} has no prompt in label_prompts: add one, or correct the "
            "label"
            for label in own
            if labels is not None and label not in labels
        ]
    return videos


def without_repeats(pairs: list[tuple]) -> dict:
    """A JSON object as a dict, which would silently keep the last of two equal keys."""
    item = dict(pairs)
    if len(item) < len(pairs):
        raise ValueError(f"a repeated key in the object with the keys {', '.join(item)!r}")
    return item


def labels_of(text: str, labels: Collection[str]) -> list[str]:
    """The labels of a video: one, or several with commas between them, as in Minecraft's sets. Each
    is given once; a label may itself have a comma in it."""
    if text.strip() in labels:
        return [text.strip()]
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


def find_video(text: str, data_folder: Path, video_dir: Path | None) -> Path:
    """The video at a path in TASK_data.json. Raises ValueError."""
    if wrong := wrong_line(text):
        raise ValueError(f"the path {text!r} {wrong}: correct it")
    places = (data_folder, Path()) if video_dir is None else (video_dir,)
    found = [place / text for place in places if os.path.isfile(place / text)]
    if not found:
        looked = " or ".join(dict.fromkeys(str(place) for place in places))
        missing = not any(os.path.isdir(place / text) for place in places)
        kind = "no such video" if missing else "a folder, not a video"
        raise ValueError(f"{kind}: {text!r} (looked in {looked}; see --video-dir)")
    if not os.access(found[0], os.R_OK):
        raise ValueError(f"no permission to read {text!r}")
    return found[0]


# --- both


def read_text(path: Path, limit: int) -> str:
    """The text of a UTF-8 file. Raises UserError."""
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
        text = data.decode("utf-8-sig") if len(data) <= limit else ""
        if text.strip():
            return text
        wrong = ": too large for a problem set" if len(data) > limit else ": is empty"
    except FileNotFoundError:
        wrong = ": no such file: a problem set is TASK.yaml with TASK_data.json beside it"
    except OSError as error:
        wrong = f": cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        wrong = f":{line}: not UTF-8 (byte 0x{error.object[error.start]:02x}): save it as UTF-8"
        if error.object.startswith((b"\xff\xfe", b"\xfe\xff")):
            wrong = ": is UTF-16 text: save it as UTF-8"
    raise UserError(f"{path}{wrong}")
