"""Turns ViSTa problem sets into prompt lists and trajectory lists.

A problem set is one question with several answers: TASK.yaml holds a prompt for each label, and
TASK_data.json beside it names the videos and their labels. The format is that of the ViSTa data set
(Wybitul et al., "ViSTa Dataset: Do vision-language models understand sequential tasks?", 2024), as
`evaluation/README.md` of `Eugleo/vista-dataset` on GitHub describes it. In the lists a label is a
group of that name in both, which is how the evaluators know the right answers.
"""

import argparse
import json
import os
import shlex
import sys
from contextlib import suppress
from glob import glob
from pathlib import Path

from trajeval.arguments import escape_output
from trajeval.inputs import BASELINE, MAX_BYTES
from trajeval.results import replace_files, wrong_folder
from trajeval.terminal import UserError

TEXT = "tag:yaml.org,2002:str"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status.

    0: the lists are written; 1: they could not be written; 2: something is wrong with the
    arguments or the problem sets, all of it is named, and nothing was written.
    """
    escape_output()
    args = parse_arguments(argv)
    problems, notes, lists, commands = [], [], {}, []
    if args.video_dir is not None and not args.video_dir.is_dir():
        problems.append(f"--video-dir {args.video_dir}: no such folder")
    first = {}  # the name of a task -> its file
    for path in args.tasks:
        prompt_list = args.output_dir / f"{path.stem}_prompts.txt"
        trajectory_list = args.output_dir / f"{path.stem}_trajectories.txt"
        if path.stem in first:
            problems.append(
                f"{path}: would become {prompt_list}, as {first[path.stem]} does: give it another "
                "output folder"
            )
        first.setdefault(path.stem, path)
        prompts, trajectories = read_problem_set(
            path, args.output_dir, args.video_dir, problems, notes
        )
        lists |= {prompt_list: prompts, trajectory_list: trajectories}
        commands.append(shlex.join(["-t", str(trajectory_list), "-p", str(prompt_list)]))
    problems += check_destination(args.output_dir, lists)

    if problems:
        problems = dict.fromkeys(problems)  # a file that was named twice has them twice
        print(*problems, sep="\n", file=sys.stderr)
        print(f"{len(problems)} to put right; nothing was written", file=sys.stderr)
        return 2
    try:
        contents = {p.name: ("\n".join(lines) + "\n").encode() for p, lines in lists.items()}
        replace_files(args.output_dir, contents)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.status
    for note in notes:
        print(note, file=sys.stderr)
    print(*commands, sep="\n")
    return 0


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        description="Turns ViSTa problem sets into lists for the evaluators: a group per label."
    )
    parser.add_argument(
        "tasks",
        metavar="TASK.yaml",
        nargs="+",
        type=Path,
        help="problem set, with TASK_data.json beside it",
    )
    parser.add_argument(
        "-o",
        "--output-dir",
        metavar="FOLDER",
        required=True,
        type=Path,
        help="folder for TASK_prompts.txt and TASK_trajectories.txt",
    )
    parser.add_argument(
        "--video-dir",
        metavar="DIR",
        type=Path,
        help="folder that the paths in TASK_data.json start from "
        "(default: the one of TASK_data.json, then the current folder)",
    )
    return parser.parse_args(argv)


def read_problem_set(
    path: Path, folder: Path, video_dir: Path | None, problems: list[str], notes: list[str]
) -> tuple[list[str], list[str]]:
    """The lines of the prompt list and of the trajectory list that `folder` shall hold.

    What is wrong is added to `problems` (then the lines are of no use), what is only to be said
    to `notes`. Raises nothing.
    """
    data_path = path.with_name(f"{path.stem}_data.json")
    prompts, baseline = read_task(path, problems)
    videos = read_data(data_path, prompts, folder, video_dir, problems)

    prompt_lines, trajectory_lines = [], []
    for label, prompt in (prompts or {}).items():
        prompt_lines += [f"[{label}]", prompt]
        if entries := [entry for entry, of in videos if of == label]:
            trajectory_lines += [f"[{label}]", *entries]
        else:
            notes.append(
                f"{data_path}: no video has the label {label!r}: its prompt stays in the list, as "
                "a wrong answer"
            )
    if baseline is not None:
        prompt_lines += [f"[{BASELINE}]", baseline]
    return prompt_lines, trajectory_lines


def read_task(path: Path, problems: list[str]) -> tuple[dict[str, str] | None, str | None]:
    """The prompts of TASK.yaml by their label, and the baseline if there is one.

    The labels are None where they could not be read. The YAML is only composed, by the safe
    loader: nothing in the file is constructed or run, and each node knows its line, which
    `safe_load` forgets, and every key, of which `safe_load` keeps the last of two.
    """
    import yaml  # here, as --help has no need of it

    text = read_text(path, problems)
    if text is None:
        return None, None
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = f"U+{error.character:04X}"
        problems.append(f"{path}:{line}: not YAML: it may not hold the character {code}")
        return None, None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(f"{path}:{mark.line + 1}: not YAML: {error.problem or error.context}")
        return None, None
    except (ValueError, OverflowError):  # the loader trips over them
        problems.append(f"{path}: not YAML: it escapes a character that does not exist")
        return None, None
    except RecursionError:
        problems.append(f"{path}: not a problem set: nested too deeply")
        return None, None

    fields = read_mapping(path, root, problems)
    if fields is None or "label_prompts" not in fields:
        problems.append(f"{path}: holds no label_prompts: give a prompt for each label there")
        return None, None
    line, node = fields["label_prompts"]
    labels = read_mapping(path, node, problems, "the label ")
    if not labels:
        problems.append(f"{path}:{line}: label_prompts takes lines of the form label: prompt")
        return None, None
    prompts = {}
    for label, (line, node) in labels.items():
        prompts[label] = prompt_of(f"{path}:{line}: the prompt of {label!r}", node, problems)
        if wrong := wrong_line(label):
            problems.append(f"{path}:{line}: the label {label!r} {wrong}: rename it")
        elif label == BASELINE:
            problems.append(
                f"{path}:{line}: a label may not be called {BASELINE}, as the group of the neutral "
                "prompts is: rename it"
            )

    line, node = fields.get("prompt_baseline", (None, None))
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return prompts, None
    return prompts, prompt_of(f"{path}:{line}: prompt_baseline", node, problems)


def read_mapping(path, node, problems, what=""):
    """A YAML mapping as key -> (line, node), or None if it is none. For labels, `what` says so:
    they have to be text, and their surrounding spaces do not count, as in the lists."""
    if node is None or node.id != "mapping":
        return None
    found = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if what and (key.id != "scalar" or key.tag != TEXT):
            shown = f"{key.value!r} " if key.id == "scalar" else ""
            problems.append(f"{path}:{line}: {what}{shown}is not a text in YAML: put it in quotes")
        if key.id != "scalar":
            continue
        name = key.value.strip() if what else key.value
        if name in found:
            spaces = " (spaces around it do not count)" if what else ""
            problems.append(
                f"{path}:{line}: {what}{name!r} stands in line {found[name][0]} already{spaces}: "
                "keep one of them"
            )
        found.setdefault(name, (line, value))
    return found


def prompt_of(where, node, problems):
    """The prompt that a YAML node holds; what keeps it out of a list is added to the problems."""
    if node.id != "scalar" or node.tag != TEXT:
        problems.append(f"{where} is not a text in YAML: write one text, in quotes")
        return ""
    prompt = node.value.strip()
    if wrong := wrong_line(prompt):
        problems.append(f"{where} {wrong}: write it as one line of text")
    elif prompt.startswith("#"):
        problems.append(f"{where} begins with #, which makes a comment in a list: reword it")
    elif prompt.startswith("[") and prompt.endswith("]"):
        problems.append(f"{where} stands in brackets, which open a group in a list: reword it")
    return prompt


def read_data(path, labels, folder, video_dir, problems):
    """The videos of TASK_data.json as (entry of a list in `folder`, label). Whether a label has a
    prompt is checked unless the prompts could not be read (None)."""
    text = read_text(path, problems)
    if text is None:
        return []
    try:
        data = json.loads(text, object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        problems.append(f"{path}:{error.lineno}: not JSON: {error.msg}")
        return []
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}: not a problem set: {error}")
        return []
    if not isinstance(data, list) or not data:
        problems.append(f"{path}: takes a list of videos, each with a path and a label")
        return []

    videos = []
    for number, item in enumerate(data, 1):
        where = f"{path}: entry {number}"
        if not isinstance(item, dict):
            problems.append(f"{where} is not an object with a path and a label")
            continue
        if wrong := [key for key in ("path", "label") if not isinstance(item.get(key), str)]:
            problems.append(f"{where} needs a text as its {' and its '.join(wrong)}")
        entry = label = None
        if "path" not in wrong:
            try:
                entry = find_entry(item["path"], path.parent, folder, video_dir)
            except ValueError as error:
                problems.append(f"{where}: {error}")
        if "label" not in wrong:
            label = item["label"].strip()
            if labels is not None and label not in labels:
                problems.append(f"{where}: {unknown_label(label, labels)}")
        videos.append((entry, label))
    return videos


def without_repeats(pairs):
    """An object of JSON as a dict, which would silently keep the last of two equal keys."""
    item = dict(pairs)
    if len(item) < len(pairs):
        raise ValueError(f"a key stands twice in the object with the keys {', '.join(item)!r}")
    return item


def unknown_label(label, labels):
    """What is wrong with a label that has no prompt."""
    parts = [part.strip() for part in label.split(",")]
    if len(parts) > 1 and all(part in labels for part in parts):
        return f"{label!r} are several labels: a video in a list has one right answer: leave one"
    return f"the label {label!r} has no prompt in label_prompts: add one, or correct the label"


def find_entry(text: str, data_folder: Path, folder: Path, video_dir: Path | None) -> str:
    """The line that means the video at the path `text` in a trajectory list that lies in `folder`.

    It is relative to that folder, so that both can be moved together, unless something else bears
    that name in the current folder, where a list is looked up first. Raises ValueError.
    """
    if wrong := wrong_line(text):
        raise ValueError(f"the path {text!r} {wrong}: correct it")
    places = (data_folder, Path()) if video_dir is None else (video_dir,)
    found = [place / text for place in places if os.path.isfile(place / text)]
    if not found:
        looked = " or ".join(dict.fromkeys(str(place) for place in places))
        missing = not any(os.path.isdir(place / text) for place in places)
        kind = "no such video" if missing else "a folder, not a video"
        raise ValueError(f"{kind}: {text!r} (looked from {looked}; --video-dir names another)")
    if not os.access(found[0], os.R_OK):
        raise ValueError(f"no permission to read {text!r}")

    video = os.path.abspath(found[0])
    entry = Path(video).as_posix()
    with suppress(ValueError):  # on another drive of Windows nothing is relative
        relative = Path(os.path.relpath(video, os.path.realpath(folder))).as_posix()
        if relative.startswith(("#", "[", "~")) or relative[0].isspace():
            relative = f"./{relative}"  # as it stands, it would not be read as this path
        if not is_taken(relative, video):
            entry = relative
    if entry != entry.rstrip() or wrong_line(entry):
        raise ValueError(f"the path {entry!r} cannot stand in a list: rename the video")
    return entry


def is_taken(entry, video):
    """Whether a list's entry leads to something else than the video, from the current folder."""
    if os.path.lexists(entry):
        return not (os.path.exists(entry) and os.path.samefile(entry, video))
    return bool(glob(entry, recursive=True))


def wrong_line(text: str) -> str | None:
    """Why a text cannot stand on a line of a list."""
    if not text.strip():
        return "is empty"
    if "\n" in text or "\r" in text:
        return "has a line break in it"
    if "\0" in text:
        return "has a null character in it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half a character in it, which is no UTF-8"
    return None


def read_text(path: Path, problems: list[str]) -> str | None:
    """The text of a file in UTF-8, or None, and what is wrong with it among the problems."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if not data.strip():
            raise ValueError(f"{path}: is empty")
        if len(data) > MAX_BYTES:
            raise ValueError(f"{path}: too large for a problem set")
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ValueError(f"{path}: text in UTF-16: save it as UTF-8")
        data = data.removeprefix(b"\xef\xbb\xbf")
        return data.decode()
    except FileNotFoundError:
        problem = f"{path}: no such file: a problem set is TASK.yaml with TASK_data.json beside it"
    except IsADirectoryError:
        problem = f"{path}: a folder, expected a file: name the TASK.yaml in it"
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        problem = f"{path}:{line}: not UTF-8 (byte 0x{byte:02x}): save it as UTF-8"
    except ValueError as error:
        problem = str(error)
    problems.append(problem)
    return None


def check_destination(folder: Path, lists) -> list[str]:
    """What is wrong with where the lists should go; nothing is created."""
    return wrong_folder("--output-dir", folder) or [
        f"{path}: a folder is in the place of a list" for path in lists if path.is_dir()
    ]


if __name__ == "__main__":
    sys.exit(main())
