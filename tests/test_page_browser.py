"""The page in a browser, as a person uses it, opened from file://."""

import shutil
import time
from pathlib import Path

import pytest
from made_up import EVIL, made_up_run, videos
from make_videos import counting_frames, write_video
from runs import ROOT

from s3d_evaluator import S3DModel
from trajeval import evaluator, page_data
from trajeval.cache import NO_CACHE
from trajeval.media import media_of
from trajeval.page import page

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)}")
CLIP = "cheetah_run.mp4"
PLAYS = "document.querySelector('#detail video').currentTime > {}"


@pytest.fixture(scope="module")
def browser():
    reason = "no playwright: uv run --group browser pytest"
    api = pytest.importorskip("playwright.sync_api", reason=reason)
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser):
    """Opens a page; the test fails on an error in the console, on an exception, and on a dialog."""
    problems, opened = [], []

    def visit(path, *, width=1440, height=900, **options):
        tab = browser.new_page(viewport={"width": width, "height": height}, **options)
        opened.append(tab)
        tab.on("console", lambda m: problems.append(m.text) if m.type != "log" else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda r: problems.append(r.url) if is_remote(r.url) else None)
        tab.goto(Path(path).as_uri())
        tab.wait_for_selector("#detail .answer", state="attached")
        return tab

    yield visit
    for tab in opened:
        tab.close()
    assert not problems


def is_remote(url):
    return not url.startswith(("file:", "data:", "blob:"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The page of the demo, by two frames of each clip."""
    out = tmp_path_factory.mktemp("demo")
    arguments = ["--demo", "--no-cache", "--n-frames", "2", "--device", "cpu", "-o", str(out)]
    assert evaluator.main(S3DModel, "", [*arguments, "-e", "demo"]) == 0
    return out / "demo/report.html"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for made-up pages, with a clip beside them."""
    path = tmp_path_factory.mktemp("pages")
    shutil.copy(ROOT / "trajectories" / CLIP, path)
    return path


def until(tab, condition, seconds=20):
    """Waits for a condition. (The page's policy forbids what wait_for_function does.)"""
    deadline = time.monotonic() + seconds
    while not tab.evaluate(condition):
        assert time.monotonic() < deadline, condition
        tab.wait_for_timeout(50)


def write_page(folder, name, *runs, media=None):
    path = folder / f"{name}.html"
    path.write_bytes(page(name, list(runs), media or videos(runs[0], CLIP)))
    return path


def label(tab):
    """The name of the clip that is shown."""
    return tab.text_content("#detail h2")


def test_the_worst_clip_of_the_demo_plays(demo, visit):
    tab = visit(demo)
    worst = tab.locator("#margins-list .link").first
    name = worst.text_content()
    worst.click()
    assert label(tab) == name
    until(tab, "document.querySelector('#detail video').readyState > 2")
    tab.keyboard.press("Escape")
    worst.click()
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("Space")
    until(tab, PLAYS.format(0.2))
    tab.keyboard.press("Space")
    until(tab, "document.querySelector('#detail video').paused")
    # the frames that the model saw: when, and what
    assert tab.locator("#detail .tick").count() == 2
    until(tab, "document.querySelector('#detail .thumb').width !== 300")
    tab.locator("#detail .tick").nth(1).click()
    until(tab, PLAYS.format(2))


def test_a_click_on_a_cell_shows_its_clip_and_its_scores(folder, visit):
    run = made_up_run(points=8)
    tab = visit(write_page(folder, "click", run))
    tab.locator("#explore").scroll_into_view_if_needed()
    hits = tab.evaluate(
        """() => {
          const grid = document.getElementById('heatmap');
          const box = grid.querySelector('canvas').getBoundingClientRect();
          return [box.right - 6, box.bottom - 6];
        }"""
    )
    tab.mouse.move(*hits)
    tip = tab.locator("#tip")
    assert tip.is_visible() and "behaviour 3, said 1" in tip.text_content()
    tab.mouse.click(*hits)
    assert label(tab) == "behaviour 3 2"
    rows = tab.locator("#detail .scores tbody tr")
    assert rows.count() == 8
    assert tab.locator("#detail .scores tr.right").count() == 2
    assert tab.locator("#detail .scores tr.best").count() == 1
    numbers = [
        float(t.replace("−", "-"))
        for t in tab.locator("#detail .scores .n").all_text_contents()[1:]
    ]
    assert numbers == sorted(numbers, reverse=True)
    assert "behaviour 3 2" in tab.text_content("#announce")


def test_the_cursor_of_the_curve_follows_the_clip_both_ways(folder, visit):
    tab = visit(write_page(folder, "curve", made_up_run(points=8)))
    until(tab, "document.querySelector('#detail video').readyState > 2")
    curve = tab.locator("#detail canvas.curve")
    at = lambda: float(curve.get_attribute("data-cursor"))  # noqa: E731
    start = at()
    tab.evaluate("document.querySelector('#detail video').play()")
    until(tab, PLAYS.format(0.5))
    assert at() > start + 5
    tab.evaluate("document.querySelector('#detail video').pause()")
    box = curve.bounding_box()
    curve.click(position={"x": box["width"] * 0.8, "y": 50})
    until(tab, PLAYS.format(5))
    until(
        tab,
        f"Math.abs(document.querySelector('.curve').dataset.cursor - {box['width'] * 0.8}) < 4",
    )


def test_a_part_stops_at_its_end_and_starts_at_its_start_again(folder, visit):
    run = made_up_run()
    media = [{"kind": "video", "src": f"{CLIP}#t=1,1.5"} for _ in run.table.rows]
    tab = visit(write_page(folder, "part", run, media=media))
    clip = "document.querySelector('#detail video')"
    until(tab, f"{clip}.readyState > 2")
    tab.focus("#heatmap")
    for _ in range(2):
        assert not tab.evaluate(f"{clip}.seeking")
        tab.keyboard.press("Space")
        until(tab, f"!{clip}.paused && {clip}.currentTime < 1.4")
        until(tab, f"{clip}.paused")
        assert 1.4 < tab.evaluate(f"{clip}.currentTime") < 1.9


def test_a_table_of_one_prompt_marks_no_highest(folder, visit):
    tab = visit(write_page(folder, "one", made_up_run(1, 3, 1, grouped=False)))
    assert tab.locator("#detail tr.best").count() == tab.locator("#detail tr.wrong").count() == 0


def test_sorting_searching_and_views(folder, visit):
    run = made_up_run(seed=3)
    tab = visit(write_page(folder, "sort", run))
    tab.focus("#heatmap")
    tab.keyboard.press("Escape")

    def first():
        """The clip in the first row."""
        tab.keyboard.press("Escape")
        tab.focus("#heatmap")
        tab.keyboard.press("Enter")
        return label(tab)

    assert first() == "behaviour 0 0"
    tab.select_option("#order", "margin")
    worst = run.verdict["margins"][0]["trajectory"]
    assert first() == Path(worst).stem
    tab.select_option("#order", "list")
    tab.fill("#search", "behaviour 2")
    tab.keyboard.press("Enter")
    assert label(tab) == "behaviour 2 0"
    tab.fill("#search", "no such thing")
    assert 'nothing is called "no such thing"' in tab.text_content("#view-text")
    tab.focus("#heatmap")
    tab.keyboard.press("Escape")
    assert tab.input_value("#search") == ""
    for view, caption in (
        ("groups", "mean over groups"),
        ("confusion", "were taken for"),
        ("difference", "less the mean of the clip"),
        ("similarity", "cosine similarity"),
    ):
        tab.select_option("#view", view)
        assert caption in tab.text_content("#view-text")
        assert first()


def test_a_click_on_a_prompt_sorts_by_it(folder, visit):
    run = made_up_run(seed=4)
    tab = visit(write_page(folder, "prompt", run))
    box = tab.evaluate(
        """() => {
          const box = document.querySelector('#heatmap canvas').getBoundingClientRect();
          return [box.right - 10, box.top + 60];
        }"""
    )
    tab.mouse.click(*box)
    assert tab.input_value("#order") == "prompt"
    assert "behaviour 3, said 1" in tab.locator("#order option:checked").text_content()
    tab.focus("#heatmap")
    tab.keyboard.press("Escape")
    tab.keyboard.press("Enter")
    highest = run.table.rows[run.table.values[:, -1].argmax()].name
    assert label(tab) == Path(highest).stem


def test_the_keyboard(folder, visit):
    tab = visit(write_page(folder, "keys", made_up_run()))
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.id") == "heatmap"
    tab.keyboard.press("Escape")
    assert tab.locator("#detail > *").count() == 0
    tab.keyboard.press("ArrowDown")
    assert label(tab) == "behaviour 0 0"
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowRight")
    assert label(tab) == "behaviour 0 2"
    assert "said 1" in tab.locator("#detail tr.shown").text_content()
    tab.keyboard.press("ArrowUp")
    assert label(tab) == "behaviour 0 1"
    until(tab, "document.querySelector('#detail video').readyState > 2")
    tab.keyboard.press("Space")
    until(tab, PLAYS.format(0.1))


def test_dark_and_light(folder, visit):
    path = write_page(folder, "dark", made_up_run())
    grounds = {}
    for scheme in ("light", "dark"):
        tab = visit(path, color_scheme=scheme)
        body = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        pixel = "(c => c.getContext('2d').getImageData(1, 1, 1, 1).data[0])"
        canvas = tab.evaluate(f"{pixel}(document.querySelector('#heatmap canvas'))")
        grounds[scheme] = body, canvas
    assert grounds["light"] == ("rgb(247, 247, 245)", 255)
    assert grounds["dark"] == ("rgb(18, 20, 23)", 25)


def test_1000_by_100_scrolls_smoothly(folder, visit):
    run = made_up_run(50, 20, 2)
    assert run.table.values.shape == (1000, 100)
    tab = visit(write_page(folder, "large", run))
    times, shown, drawn = tab.evaluate(
        """async () => {
          const grid = document.getElementById('heatmap');
          const times = [];
          let last = performance.now();
          for (let i = 0; i < 60; i++) {
            grid.scrollTop += 150;
            grid.scrollLeft += 10;
            await new Promise(requestAnimationFrame);
            times.push(performance.now() - last);
            last = performance.now();
          }
          const canvas = grid.querySelector('canvas');
          return [times.sort((a, b) => a - b), grid.scrollTop, canvas.width * canvas.height];
        }"""
    )
    assert shown == 9000 and drawn < 2_000_000
    tab.select_option("#view", "confusion")
    assert tab.evaluate("document.getElementById('heatmap').scrollTop") == 0
    assert times[30] < 50  # 17 ms on an idle machine: each frame of the screen


def test_a_part_of_a_large_table_has_all_views(folder, visit, monkeypatch):
    monkeypatch.setattr(page_data, "MAX_ROWS", 4)
    run = made_up_run(6, 10, 1)
    tab = visit(write_page(folder, "part", run))
    assert "the 2 strongest and 2 worst of 60" in tab.text_content(".part-text")
    for name in ("groups", "confusion", "similarity"):
        tab.select_option("#view", name)
        box = tab.locator("#heatmap canvas").bounding_box()
        for row in range(4):  # from below; no clip of some behaviours is shown
            tab.click(
                "#heatmap canvas",
                position={"x": box["width"] - 10, "y": box["height"] - 10 - 30 * row},
            )
        assert label(tab) in {Path(run.table.rows[i].name).stem for i in run.rows}
    totals = [sum(row) for row in run.verdict["confusion"]]
    assert f"of {totals[0]} " in tab.text_content("#pairs-clips") and totals[0] == 10


def test_planted_names_are_not_run(folder, visit):
    run = made_up_run(names=EVIL, points=4, everything=True)
    tab = visit(write_page(folder, "evil", run))
    tab.locator("#margins-list .link").last.click()
    for view in ("groups", "confusion", "difference", "similarity"):
        tab.select_option("#view", view)
        tab.hover("#heatmap")
    tab.fill("#search", EVIL[0])
    tab.locator("#pairs").scroll_into_view_if_needed()
    tab.wait_for_selector("#pairs-clips video")
    assert not tab.evaluate("document.querySelectorAll('#detail img, main script').length")
    assert EVIL[0] in tab.text_content("#margins-list")


def test_pairs_stand_side_by_side(folder, visit):
    run = made_up_run()
    tab = visit(write_page(folder, "pairs", run))
    tab.locator("#pairs").scroll_into_view_if_needed()
    tab.wait_for_selector("#pairs-clips video")
    assert tab.locator("#pairs-clips video").count() == 2
    tab.locator("#pairs-clips .link").first.click()
    assert label(tab) == tab.locator("#pairs-clips h3").first.text_content()


def test_printing_gives_the_verdict_and_the_heatmap(folder, visit):
    tab = visit(write_page(folder, "print", made_up_run(50, 4, 1)))
    tab.emulate_media(media="print")
    tab.wait_for_timeout(300)
    shown = "selector => getComputedStyle(document.querySelector(selector)).display !== 'none'"
    assert [tab.evaluate(shown, s) for s in ("#verdict", "#heatmap", "#detail", ".lists")] == [
        *(True, True, False, False)
    ]
    height, spacer = tab.evaluate(
        """['canvas', '.spacer'].map(
          (name) => parseFloat(document.querySelector(`#heatmap ${name}`).style.height))"""
    )
    assert height == spacer  # all of it
    assert tab.pdf().startswith(b"%PDF")


def test_a_phone(folder, visit):
    tab = visit(
        write_page(folder, "phone", made_up_run(points=4, everything=True)), width=390, height=844
    )
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert not tab.locator("#detail").is_visible()
    tab.locator("#margins-list .link").first.click()
    assert tab.locator("#detail").is_visible()
    tab.locator("#detail .close").click()
    assert not tab.locator("#detail").is_visible()


def test_screen_readers_get_tables_with_headers(folder, visit):
    tab = visit(write_page(folder, "readers", made_up_run()))
    table = tab.locator("#as-table table")
    assert table.locator("caption").text_content() == "cosine similarity, mean over groups"
    assert (
        table.locator("thead th[scope=col]").count()
        == table.locator("tbody th[scope=row]").count()
        == 4
    )
    assert tab.locator("table:not(:has(th))").count() == 0
    names = "[...document.querySelectorAll('button')].map(b => b.ariaLabel || b.textContent.trim())"
    assert all(tab.evaluate(names))


def test_runs_stand_side_by_side(folder, visit):
    runs = made_up_run(points=4), made_up_run(seed=1)
    tab = visit(write_page(folder, "runs", *runs))
    assert tab.locator("#detail .part h3").all_text_contents() == ["made-up 0", "made-up 1"]
    assert tab.locator("#detail .scores").count() == 2
    before = label(tab)
    tab.select_option("#run", "1")
    assert label(tab) == before
    assert "made-up 1" in tab.locator("#detail .part.current h3").text_content()


def test_strips_images_and_embedded_clips(folder, visit, tmp_path):
    from PIL import Image

    frames = counting_frames(24)
    write_video(folder / "a.avi", frames, codec="mpeg4")
    write_video(folder / "b.mp4", frames)
    (folder / "images").mkdir()
    for i, pixels in enumerate(frames):
        Image.fromarray(pixels).save(folder / f"images/f{i:02}.png")
    run = made_up_run(2, 2, 2, points=4)
    seen = list(range(0, 24, 3))
    entries = [
        {"path": name, "file": name, "content": None, "fps": 25.0, "frames": seen}
        for name in ("a.avi", "images", "b.mp4", "none.mp4")
    ]
    media = media_of({"arguments": {}}, entries[:2], folder, NO_CACHE)
    media += media_of({"arguments": {"embed_clips": True}}, entries[2:3], folder, NO_CACHE)
    media += media_of({"arguments": {}}, entries[3:], folder, NO_CACHE)
    for one, frames_of in zip(run.record["trajectories"], [seen] * 4):
        one |= {"frames": frames_of, "length": 24}
    tab = visit(write_page(folder, "kinds", run, media=media))
    tab.focus("#heatmap")
    tab.keyboard.press("Escape")
    tab.keyboard.press("ArrowDown")
    for kind in ("strip", "images"):
        until(tab, "document.querySelector('#detail .picture img').naturalWidth > 0")
        assert tab.locator("#detail .thumb").count() == 8, kind
        tab.locator("#detail .thumb").nth(5).click()
        assert (
            tab.locator("#detail input[type=range]").get_attribute("aria-valuetext") == "frame 15"
        )
        tab.focus("#heatmap")
        tab.keyboard.press("Space")
        until(tab, "document.querySelector('#detail .play').textContent === 'Pause'")
        tab.keyboard.press("ArrowDown")
    until(tab, "document.querySelector('#detail video').duration > 0.9")
    assert tab.get_attribute("#detail video", "src").startswith("data:video/mp4")
    tab.keyboard.press("Space")
    until(tab, PLAYS.format(0.1))
    tab.keyboard.press("ArrowDown")
    assert "No clip: the file is not where the run found it" in tab.text_content("#detail")
