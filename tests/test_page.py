"""The page as a file: what is in it, what is not, how large it is."""

import base64
import json
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_up import EVIL, made_up_run, videos
from make_videos import counting_frames, write_video
from runs import ROOT

import compare_results
from s3d_evaluator import S3DModel
from trajeval import evaluator, page_data
from trajeval.cache import NO_CACHE, Cache
from trajeval.media import address, media_of, strip_length
from trajeval.metrics import confusion
from trajeval.page import FOLDER, SCRIPTS, bundle, page
from trajeval.page_data import baseline_of, confused_pairs, curves_data
from trajeval.page_text import reasons, run_text
from trajeval.small_clips import MAX_BYTES
from trajeval.table import grouped

CLIP = "../clips/a.mp4"


class Texts(HTMLParser):
    """The texts and the tags of a page, outside of its style and scripts."""

    def __init__(self, content):
        super().__init__()
        self.texts, self.tags, self.scripts, self.inside = [], [], [], None
        self.feed(content.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.inside = tag

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None

    def handle_data(self, data):
        if self.inside != "style":
            (self.scripts if self.inside == "script" else self.texts).append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))

    @property
    def data(self):
        return json.loads(self.scripts[0])


def page_of_run(run, **options):
    return Texts(page("a page", [run], videos(run, CLIP), **options))


def test_the_verdict_stands_first_with_its_table_and_what_was_skipped():
    run = made_up_run(everything=True)
    found = page_of_run(run)
    order = [
        run.verdict["sentence"],
        "top-1 accuracy",
        "weights.pth (000000000000…)",
        "clips/lost.mp4: is empty",
        "a made-up warning",
        "search",
        "Behaviours",
    ]
    places = [found.text.index(text) for text in order]
    assert places == sorted(places)
    top1 = run.verdict["metrics"]["top1"]
    assert f"{top1['low']:.2f} to {top1['high']:.2f}" in found.text


def test_every_block_of_the_metrics_has_a_table():
    found = page_of_run(made_up_run(everything=True, points=8))
    for text in ("Along the clip", "Controls", "Ratings", "Success", "What is in the embeddings"):
        assert text in found.text
    assert "18 of 20" in found.text and "all ratings are equal" in found.text


def test_without_groups_there_is_no_verdict_and_the_page_says_why():
    found = page_of_run(made_up_run(grouped=False))
    assert "No verdict: it needs groups of trajectories" in found.text
    assert found.data["runs"][0]["means"] is None and found.data["runs"][0]["answered"] is None


def test_with_ratings_alone_there_is_no_confusion():
    run = made_up_run(grouped=False)
    ratings = made_up_run(everything=True).verdict["ratings"]
    found = page_of_run(run._replace(verdict={"ratings": ratings}))
    assert "Ratings" in found.text and "confusion" not in found.data["runs"][0]


def test_planted_names_are_text():
    run = made_up_run(names=EVIL, everything=True, points=4)
    found = Texts(page(EVIL[0], [run], videos(run, CLIP)))
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert not [tag for tag, _ in found.tags if tag == "img"]
    assert "</script><script>alert(1)</script>" in found.text and "{{ 7 * 7 }}" in found.text
    assert {row["groups"][0] for row in found.data["rows"]} == set(EVIL)


def test_the_policy_allows_this_style_and_this_script_alone():
    content = page("a page", [made_up_run()], videos(made_up_run(), CLIP))
    (policy,) = [
        attributes["content"]
        for tag, attributes in Texts(content).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for kind, pattern in (("style", rb"<style>(.*?)</style>"), ("script", rb'"module">(.*?)</s')):
        (text,) = re.findall(pattern, content, re.DOTALL)
        assert page_hash(text) in re.search(rf"{kind}-src ([^;]*)", policy).group(1)
    assert b"http://" not in content and b"https://" not in content and b" style=" not in content


def page_hash(text):
    import hashlib

    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


def test_nothing_of_the_machine_is_in_the_page():
    content = page("a page", [made_up_run()], videos(made_up_run(), CLIP))
    assert b"/home/somebody" not in content and str(ROOT).encode() not in content


def test_absolute_paths_are_shown_from_the_folder_of_the_results():
    run = made_up_run()
    row, entry = run.table.rows[0], run.record["trajectories"][0]
    rows = [row._replace(name="/home/somebody/a.mp4"), *run.table.rows[1:]]
    entry |= {"path": rows[0].name, "file": "../a.mp4", "warning": "cut off"}
    run.record["trajectories"].append(
        {"path": "/home/somebody/b.mp4", "file": "../b.mp4", "error": "/home/somebody/b.mp4: empty"}
    )
    run = run._replace(table=run.table._replace(rows=rows))
    content = page("a page", [run], videos(run, CLIP))
    assert b"/home/somebody" not in content
    found = Texts(content)
    assert found.data["rows"][0]["name"] == "../a.mp4"
    assert "../a.mp4: cut off" in found.text and "../b.mp4: empty" in found.text


def test_phrasings_of_the_same_auc_are_folded_away():
    run = made_up_run(2, 3, 2)
    prompts = run.verdict["prompts"]
    for prompt, auc in zip(prompts, (1.0, 1.0, 0.5, 0.75)):
        prompt["auc"] = auc
    found = run_text(run)
    assert list(found.equal_phrasings) == ["behaviour 0"]
    assert [one["auc"] for one in found.phrasings["behaviour 1"]] == [0.75, 0.5]
    assert "1 of 2 behaviours: every phrasing has the same AUC" in page_of_run(run).text


def test_a_reason_that_groups_share_is_said_once():
    groups = [{"name": "a", "why": "few"}, {"name": "b", "why": None}, {"name": "c", "why": "few"}]
    assert reasons(groups) == [("few", ["a", "c"])]


@pytest.mark.parametrize("options", [{"grouped": False}, {}], ids=["no groups", "50 groups"])
def test_a_table_of_100_by_100_takes_less_than_300_kb(options):
    groups, takes, phrasings = (100, 1, 1) if options else (50, 2, 2)
    run = made_up_run(groups, takes, phrasings, **options)
    assert run.table.values.shape == (100, 100)
    assert len(page("a page", [run], videos(run, CLIP))) < 300_000


def test_a_large_page_is_made_quickly():
    run = made_up_run(50, 20, 2)
    page("warm", [run], videos(run, CLIP))
    start = time.perf_counter()
    page("a page", [run], videos(run, CLIP))
    assert time.perf_counter() - start < 1  # 0.15 s on an idle machine


def test_arrays_arrive_bit_for_bit():
    run = made_up_run()
    found = np.frombuffer(base64.b64decode(page_of_run(run).data["runs"][0]["values"]), "<f4")
    assert np.array_equal(found.reshape(run.table.values.shape), run.table.values)


def test_curves_arrive_within_half_a_level():
    import zlib

    curves = made_up_run(points=7).curves
    found = curves_data(curves)
    steps = np.frombuffer(zlib.decompress(base64.b64decode(found["values"])), np.uint8)
    n, k, p = curves.values.shape
    levels = np.cumsum(steps.reshape(n, p, k), axis=2, dtype=np.uint8)
    low, high = (np.array(found[end])[:, None, None] for end in ("low", "high"))
    values = low + (high - low) * levels / page_data.LEVELS
    tolerance = (high - low) / page_data.LEVELS / 2 * 1.001
    assert (np.abs(values - curves.values.transpose(0, 2, 1)) <= tolerance).all()


def test_curves_without_a_frame_rate_have_no_times_and_the_others_keep_theirs():
    curves = made_up_run(points=3).curves
    times = curves.times.copy()
    times[1] = np.nan
    found = curves_data(curves._replace(times=times))["times"]
    assert found[1] is None and found[0] == found[2] == [0, 3.84, 7.68]
    flat = curves._replace(values=curves.values * 0)
    assert set(curves_data(flat)["low"]) == {0}


def test_confused_pairs():
    scores = np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.2, 0.8, 0.0], [0.0, 0.1, 0.5]])
    right = np.eye(3, dtype=bool)[[0, 0, 1, 2]]
    assert confused_pairs(scores, right, confusion(scores, right)) == (
        [{"a": 0, "b": 1, "there": 1, "back": 0, "left": 1, "right": 2}],
        0,
    )
    # without a mistake, those that come closest
    (closest,), _ = confused_pairs(scores[[0, 2, 3]], right[[0, 2, 3]], np.diag([1, 1, 1]))
    assert (closest["a"], closest["b"], closest["there"], closest["back"]) == (1, 2, 0, 0)


def test_the_baseline_is_that_of_plain_cosines():
    rng = np.random.default_rng(0)
    videos_, texts = rng.normal(size=(2, 4)), rng.normal(size=(3, 4))
    found = baseline_of("cosine similarity", ["a", "baseline", "b"], videos_, texts)
    wanted = videos_ @ texts[1] / np.linalg.norm(videos_, axis=1) / np.linalg.norm(texts[1])
    assert np.allclose(found, wanted)
    assert baseline_of("cosine similarity, rescaled", ["baseline"], videos_, texts[:1]) is None
    assert baseline_of("cosine similarity", ["a", "b", "c"], videos_, texts) is None
    assert baseline_of("log p(True)", ["baseline"], None, None) is None


# --- large tables


def large_run(monkeypatch, **options):
    """A run of which the page shows 20 of 60 trajectories, and whose record has only these."""
    monkeypatch.setattr(page_data, "MAX_ROWS", 20)
    run = made_up_run(6, 10, 2, **options)
    names = {run.table.rows[i].name for i in run.rows}
    entries = [one for one in run.record["trajectories"] if one["path"] in names or "error" in one]
    return run._replace(record=run.record | {"trajectories": entries})


def test_of_a_large_table_a_part_is_shown_and_the_numbers_are_of_all(monkeypatch):
    run = large_run(monkeypatch, everything=True, points=4)
    found = page_of_run(run)
    assert "60 trajectories by 12 prompts" in found.text
    assert (
        "Shown are the 10 strongest and 10 worst of 60 trajectories (by margin); group means and "
        "confusion are of all. The tables beside the page have all."
    ) in found.text
    (data,) = found.data["runs"]
    assert [row["name"] for row in found.data["rows"]] == [run.table.rows[i].name for i in run.rows]
    assert np.array_equal(unpacked(data["values"]).reshape(20, 12), run.table.values[run.rows])
    assert len(data["hits"]) == len(data["margins"]) == len(data["curves"]["low"]) == 20
    assert np.sum(data["confusion"]) == 60
    whole = grouped(run.table).table.values.astype(np.float32)
    assert np.array_equal(unpacked(data["means"]["values"]).reshape(6, 6), whole)
    counts = np.array(data["confusion"])
    for pair in data["pairs"]:
        a, b = pair["a"], pair["b"]
        assert (pair["there"], pair["back"]) == (counts[a, b], counts[b, a])
        assert found.data["rows"][pair["left"]]["groups"] == [data["groups"][a]]


def unpacked(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_of_many_groups_a_part_has_means(monkeypatch):
    monkeypatch.setattr(page_data, "MAX_ROWS", 4)
    (data,) = page_of_run(made_up_run(6, 2, 1)).data["runs"]
    assert len(data["means"]["rows"]) == 4 and len(data["means"]["columns"]) == 6
    assert data["means"]["part"].startswith("the 2 strongest and 2 worst of 6 groups")


def test_many_messages_are_counted():
    run = made_up_run(4, 5)
    for entry in run.record["trajectories"][:-1]:
        entry["warning"] = "cut off"
    found = page_of_run(run).text
    assert "Warnings (21)" in found and found.count("cut off") == 9 and "and 11 more" in found


def test_many_pairs_are_counted(monkeypatch):
    monkeypatch.setattr(page_data, "MAX_PAIRS", 2)
    run = made_up_run(6, 10, 1)
    (data,) = page_of_run(run).data["runs"]
    counts = np.array(data["confusion"])
    n_mistaken = np.count_nonzero(np.triu(counts + counts.T, 1))
    assert len(data["pairs"]) == 2 and data["more_pairs"] == n_mistaken - 2 > 0


# --- clips


def entry(path, folder, **others):
    found = {
        "path": str(path),
        "file": str(path),
        "content": None,
        "fps": 25.0,
        "frames": [0, 3, 6],
    }
    return found | others


@pytest.fixture
def frames():
    return counting_frames(9)


def media(path, tmp_path, cache=NO_CACHE, arguments=None, **others):
    record = {"arguments": arguments or {}}
    (found,) = media_of(record, [entry(path, tmp_path, **others)], tmp_path / "out/run", cache)
    return found


def test_videos_are_named_by_relative_encoded_paths(tmp_path, frames):
    path = write_video(tmp_path / "a b#ü%.mp4", frames)
    assert media(path, tmp_path) == {"kind": "video", "src": "../../a%20b%23%C3%BC%25.mp4"}
    part = media(path, tmp_path, start=0.1, end=0.25)
    assert part["src"] == "../../a%20b%23%C3%BC%25.mp4#t=0.1,0.25"
    assert address("/x/a\udcff:b.mp4", "/x") == "a%FF%3Ab.mp4"


def test_what_browsers_cannot_play_gets_a_strip(tmp_path, frames):
    for name, codec in (("a.avi", "mpeg4"), ("b.mp4", "mpeg4"), ("c.mp4", "libx265")):
        path = write_video(tmp_path / name, frames, codec=codec)
        found = media(path, tmp_path)
        assert (found["kind"], found["count"]) == ("strip", 3)
        assert (found["width"], found["height"]) == (96, 64)
        assert base64.b64decode(found["src"].partition(",")[2]).startswith(b"\xff\xd8")


def test_a_strip_shows_frames_that_the_model_saw():
    assert [strip_length(n) for n in (1, 8, 12, 13, 17, 32, 64)] == [1, 8, 12, 13, 17, 16, 16]


def test_folders_of_images_are_shown_as_they_are(tmp_path, frames):
    from PIL import Image

    folder = tmp_path / "some frames"
    folder.mkdir()
    for i, pixels in enumerate(frames):
        Image.fromarray(pixels).save(folder / f"f{i}.png")
    found = media(folder, tmp_path)
    assert found["src"] == [f"../../some%20frames/f{i}.png" for i in (0, 3, 6)]
    for path in sorted(folder.iterdir()):
        Image.open(path).save(path.with_suffix(".ppm"))
        path.unlink()
    assert media(folder, tmp_path)["kind"] == "strip"


def test_a_lost_video_is_said_to_be_lost(tmp_path):
    found = media(tmp_path / "none.mp4", tmp_path)
    assert found == {"kind": "none", "why": "the file is not where the run found it"}


def test_what_is_kept_is_not_decoded_again(tmp_path, frames, monkeypatch):
    path = write_video(tmp_path / "a.avi", frames, codec="mpeg4")
    cache = Cache(tmp_path / "cache")
    first = media(path, tmp_path, cache, content="abc")
    monkeypatch.setattr("trajeval.videos.read_clips", None)
    assert media(path, tmp_path, cache, content="abc") == first
    with pytest.raises(TypeError):
        media(path, tmp_path, cache, content="abd")


def test_embedded_clips_are_small_and_start_where_the_part_does(tmp_path, frames, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 300, 3), np.uint8)
    path = write_video(tmp_path / "noise.mp4", noise, options={"crf": "20"})
    found = media(path, tmp_path, arguments={"embed_clips": True}, start=2, end=5)
    assert capsys.readouterr().err == "--embed-clips: 1 clips, at most 0.1 MB in report.html\n"
    content = base64.b64decode(found["src"].removeprefix("data:video/mp4;base64,"))
    assert len(content) <= MAX_BYTES and len(found["src"]) < 100_100
    assert found["offset"] == 2
    again = write_video(tmp_path / "plain.mp4", counting_frames(50))
    found = media(again, tmp_path, arguments={"embed_clips": True})
    small = tmp_path / "small.mp4"
    small.write_bytes(base64.b64decode(found["src"].partition(",")[2]))
    from trajeval.videos import read_clip

    clip = read_clip(small, 5)
    assert clip.length == 50 and found["offset"] == 0


def test_clips_without_times_are_embedded_as_strips(tmp_path, frames):
    np.save(tmp_path / "a.npy", frames)
    found = media(tmp_path / "a.npy", tmp_path, arguments={"embed_clips": True}, fps=None)
    assert found["kind"] == "strip"


# --- runs


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of the demo's results."""
    out = tmp_path_factory.mktemp("demo")
    arguments = ["--demo", "--no-cache", "--n-frames", "2", "--device", "cpu", "-o", str(out)]
    assert evaluator.main(S3DModel, "", [*arguments, "-e", "demo"]) == 0
    return out / "demo"


def test_a_run_writes_its_page(demo):
    found = Texts((demo / "report.html").read_bytes())
    verdict = json.loads((demo / "metrics.json").read_bytes())
    assert verdict["sentence"] in found.text
    for row in found.data["rows"]:
        assert (demo / row["media"]["src"]).is_file()
    assert str(Path.home()).encode() not in (demo / "report.html").read_bytes()


def test_a_page_is_made_again_from_its_folder(demo, tmp_path, capsys):
    folder = shutil.copytree(demo, demo.parent / "copy")
    before = (folder / "report.html").read_bytes()
    shutil.copy(demo.parent / "demo.png", demo.parent / "copy.png")
    (folder / "report.html").unlink()
    assert compare_results.main([str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == before
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert compare_results.main([str(folder)]) == 0  # the hashes fit
    assert compare_results.main([str(folder), "-e", "x"]) == 2


def test_a_comparison_has_a_page(demo, tmp_path):
    arguments = [str(demo), str(demo), "-e", "both", "-o", str(tmp_path)]
    assert compare_results.main(arguments) == 0
    found = Texts((tmp_path / "both.html").read_bytes())
    assert len(found.data["runs"]) == 2
    assert (tmp_path / found.data["rows"][0]["media"]["src"]).is_file()
    assert "how much higher than the first run's they are" in found.text
    assert re.search(r"\d+ more metrics .* AUC of run ", found.text)  # folded away


# --- style and scripts


def test_the_scripts_are_all_in_the_page():
    assert {path.name for path in FOLDER.glob("*.js")} == set(SCRIPTS)
    assert not re.findall(r"^(import|export)\b", bundle(), re.MULTILINE)


def test_the_scripts_are_as_the_linter_wants_them():
    linter = shutil.which("oxlint", path=Path(sys.executable).parent)
    if linter is None:
        pytest.skip("no oxlint: uv run --group browser pytest")
    done = subprocess.run(
        [linter, "--deny-warnings", FOLDER], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def themes():
    style = (FOLDER / "report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    found = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in blocks]
    assert len(found) == 3
    return dict(zip(("light", "dark", "print"), found))


@pytest.mark.parametrize("name", ["light", "dark", "print"])
def test_contrast_is_that_of_wcag_aa(name):
    theme = themes()[name]
    for text in ("text", "muted", "accent", "good", "bad"):
        for ground in ("ground", "panel", "shade"):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    assert contrast(theme["mark"], theme["panel"]) >= 3  # the outline of the cell
    assert contrast(theme["ground"], theme["text"]) >= 4.5  # what the pointer is on
