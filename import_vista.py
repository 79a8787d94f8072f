"""Converts ViSTa problem sets into prompt lists and trajectory lists.

A problem set is one question with several answers: TASK.yaml holds a prompt for each label, and
TASK_data.json beside it names the videos and their labels. The format is that of the ViSTa data set
(Wybitul et al., "ViSTa Dataset: Do vision-language models understand sequential tasks?", 2024), as
described in `evaluation/README.md` of `Eugleo/vista-dataset` on GitHub. In both lists a label is
the name of a group, which is how the evaluators know the right answers.
"""

if __name__ == "__main__":
    from trajeval.terminal import exit_on_interrupt

    exit_on_interrupt()

import argparse
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from trajeval.files import open_regular
from trajeval.inputs import BASELINE, MAX_BYTES
from trajeval.lists import check_lists, entry_for, write_lists, wrong_line, wrong_prompt
from trajeval.terminal import SHOWN, UserError, answer, plural, run_command, run_script, tell

STRING = "tag:yaml.org,2002:str"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status.

    0: the lists were written; 1: some could not be written; 2: something is wrong with the
    arguments or the problem sets, and nothing was written; 130: interrupted.
    """
    return run_command(convert, argv)


def convert(argv: list[str] | None) -> int:
    args = parse_arguments(argv)
    problems: list[str] = []
    notes: list[str] = []
    lists: dict[Path, list[str]] = {}
    commands: list[str] = []
    if args.video_dir is not None and not args.video_dir.is_dir():
        problems.append(f"--video-dir {args.video_dir}: no such folder")
    for task, folder in find_tasks(args.tasks, args.output_dir, problems, notes).items():
        prompt_list = folder / f"{task.stem}_prompts.txt"
        trajectory_list = folder / f"{task.stem}_trajectories.txt"
        if prompt_list in lists:
            problems.append(f"{task}: would overwrite {prompt_list} of another set: rename it")
        prompts, trajectories = read_problem_set(task, folder, args.video_dir, problems, notes)
        lists |= {prompt_list: prompts, trajectory_list: trajectories}
        commands.append(shlex.join(["-t", str(trajectory_list), "-p", str(prompt_list)]))
    problems += check_lists("--output-dir", lists)
    if problems:
        more = [f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        count = f"{plural(len(problems), 'problem')} found; nothing was written"
        raise UserError(*problems[:SHOWN], *more, count)
    write_lists(lists)
    for note in notes:
        tell(note)
    answer("\n".join(commands))
    return 0


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        description="Converts ViSTa problem sets into lists for the evaluators, a group per label.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        *("tasks",),
        metavar="TASK.yaml",
        nargs="+",
        type=a_path,
        help="problem set, with TASK_data.json beside it, or a folder: all sets in and below it",
    )
    add(
        *("-o", "--output-dir"),
        metavar="DIR",
        required=True,
        type=a_path,
        help="folder for TASK_prompts.txt and TASK_trajectories.txt, in the folders of the sets "
        "below the one that all share",
    )
    add(
        "--video-dir",
        metavar="DIR",
        type=a_path,
        help="folder that the paths in TASK_data.json start from (default: that of TASK_data.json, "
        "then the current folder)",
    )
    return parser.parse_args(argv)


def a_path(text):
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError("takes a path")
    return Path(text)


def find_tasks(
    given: list[Path], output_dir: Path, problems: list[str], notes: list[str]
) -> dict[Path, Path]:
    """The problem sets that files and folders stand for -> the folder for the lists of each."""
    tasks: dict[str, Path] = {}  # by absolute path: a set may be named twice
    tops = []
    for path in given:
        found = [path]
        if os.path.isdir(path):
            found = list(sets_below(path, problems, notes))
            if not found:
                problems.append(
                    f"{path}: no problem set in or below this folder (TASK.yaml with "
                    "TASK_data.json beside it)"
                )
        tops.append(os.path.abspath(path if os.path.isdir(path) else path.parent))
        tasks |= {os.path.abspath(task): task for task in found}
    top = os.path.commonpath(tops)
    return {
        task: output_dir / os.path.relpath(os.path.dirname(whole), top)
        for whole, task in tasks.items()
    }


def sets_below(folder: Path, problems: list[str], notes: list[str]) -> Iterator[Path]:
    """The problem sets in a folder and in those below it, sorted."""
    for path, folders, files in os.walk(
        folder, onerror=lambda error: problems.append(f"{error.filename}: {error.strerror}")
    ):
        folders.sort()
        for name in sorted(files):
            task = Path(path, name)
            if task.suffix != ".yaml":
                continue
            if data_of(task).name in files:
                yield task
            else:
                notes.append(f"{task}: skipped: no {data_of(task).name} beside it")


def data_of(task: Path) -> Path:
    return task.with_name(f"{task.stem}_data.json")


def read_problem_set(
    task: Path, folder: Path, video_dir: Path | None, problems: list[str], notes: list[str]
) -> tuple[list[str], list[str]]:
    """The lines of the prompt list and the trajectory list of a problem set, for a `folder`.

    What is wrong is added to `problems` (then the lines are of no use), remarks to `notes`.
    """
    prompts, baseline, videos = None, None, []
    try:
        prompts, baseline = read_task(task, problems)
    except UserError as error:
        problems += error.problems
    try:
        videos = read_data(data_of(task), prompts, folder, video_dir, problems)
    except UserError as error:
        problems += error.problems
    prompt_lines, trajectory_lines = [], []
    for label, prompt in (prompts or {}).items():
        prompt_lines += [f"[{label}]", prompt]
        if entries := [entry for entry, of in videos if of == label]:
            trajectory_lines += [f"[{label}]", *entries]
        else:
            notes.append(
                f"{data_of(task)}: no video has the label {label!r}: its prompt is kept as a wrong "
                "answer"
            )
    if baseline is not None:
        prompt_lines += [f"[{BASELINE}]", baseline]
    return prompt_lines, trajectory_lines


def read_task(path, problems):
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
        if wrong := wrong_line(label):
            problems.append(f"{path}:{line}: the label {label!r} {wrong}: rename it")
        elif label == BASELINE:
            problems.append(
                f"{path}:{line}: the label {BASELINE} is reserved for neutral prompts: rename it"
            )
    line, node = fields.get("prompt_baseline", (None, None))
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return prompts, None
    return prompts, prompt_of(f"{path}:{line}: prompt_baseline", node, problems)


def compose(path):
    """The root node of a YAML file, None if there is none. It is only composed, by the safe loader:
    nothing is constructed or run. Unlike the result of `safe_load`, nodes know their lines, and
    repeated keys are all kept. Raises UserError."""
    import yaml  # here, as --help does without it

    text = read_text(path)
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = f":{text.count(chr(10), 0, error.position) + 1}"
        problem = f"not YAML: contains the character U+{error.character:04X}"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = f"not YAML: {error.problem or error.context}"
    except (ValueError, OverflowError):  # from within the loader
        line, problem = "", "not YAML: an escape stands for no character"
    except RecursionError:
        line, problem = "", "not a problem set: nested too deeply"
    raise UserError(f"{path}{line}: {problem}")


def read_mapping(path, node, problems, what=""):
    """A YAML mapping as key -> (line, node), empty if it is something else. Labels, for which
    `what` is given, must be strings; as in the lists, spaces around them are ignored."""
    found = {}
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
                f"{path}:{line}: {what}{name!r} is already on line {found[name][0]}{spaces}: "
                "remove one of them"
            )
        found.setdefault(name, (line, value))
    return found


def prompt_of(where, node, problems):
    """The prompt of a YAML node; what keeps it out of a list is added to the problems."""
    if node.id != "scalar" or node.tag != STRING:
        problems.append(f"{where} is not a string in YAML: quote it")
        return ""
    prompt = node.value.strip()
    if wrong := wrong_prompt(prompt):
        problems.append(f"{where} {wrong}")
    return prompt


def read_data(path, labels, folder, video_dir, problems):
    """The videos of TASK_data.json as (entry of a list in `folder`, label). What is wrong with one
    is added to the problems (a label without a prompt, unless `labels` is None); raises UserError
    if there are none."""
    try:
        data = json.loads(read_text(path), object_pairs_hook=without_repeats)
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
        entry, label = None, item["label"].strip()
        try:
            entry = entry_for(find_video(item["path"], path.parent, video_dir), folder)
        except ValueError as error:
            problems.append(f"{where}: {error}")
        if labels is not None and label not in labels:
            problems.append(f"{where}: {unknown_label(label, labels)}")
        videos.append((entry, label))
    return videos


def without_repeats(pairs):
    """A JSON object as a dict, which would silently keep the last of two equal keys."""
    item = dict(pairs)
    if len(item) < len(pairs):
        raise ValueError(f"a repeated key in the object with the keys {', '.join(item)!r}")
    return item


def unknown_label(label, labels):
    """What is wrong with a label that has no prompt."""
    parts = [part.strip() for part in label.split(",")]
    if len(parts) > 1 and all(part in labels for part in parts):
        return f"{label!r} is several labels, and a video in a list has one: keep one of them"
    return f"the label {label!r} has no prompt in label_prompts: add one, or correct the label"


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


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises UserError."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig") if len(data) <= MAX_BYTES else ""
        if text.strip():
            return text
        wrong = ": too large for a problem set" if len(data) > MAX_BYTES else ": is empty"
    except FileNotFoundError:
        wrong = ": no such file: a problem set is TASK.yaml with TASK_data.json beside it"
    except OSError as error:
        wrong = f": cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        wrong = f":{line}: not UTF-8 (byte 0x{error.object[error.start]:02x}): save it as UTF-8"
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            wrong = ": encoded in UTF-16: save it as UTF-8"
    raise UserError(f"{path}{wrong}")


if __name__ == "__main__":
    run_script(main)
