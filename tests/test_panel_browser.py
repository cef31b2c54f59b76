"""The review panel in a real browser: chromium on JupyterLab, Notebook 7 and Voilà."""

import json
import re
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from servers import notebook_server
from test_panel import small_run, states

from jwvl_lib import artifacts, review, review_item, review_ledger
from jwvl_lib.facts import Fact, to_json

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WAIT_MS = 120_000  # a busy machine takes its time to start a kernel


@pytest.fixture
def run(tmp_path):
    return small_run(tmp_path)


PANEL_CELL = """
from pathlib import Path
import pandas as pd
from jwvl_lib.panel import ReviewPanel
folder = Path({folder!r})
ReviewPanel(folder / "review.sqlite", pd.read_parquet(folder / "annotations.parquet"),
            pd.read_parquet(folder / "corpus.parquet"), folder, overlap={overlap})
"""


@contextmanager
def served(app: str, run, overlap: float = 0.0):
    """The address of a page with the panel over a run, and the server that gives it for as long as the block lasts."""
    ledger, annotations, corpus, folder = run
    artifacts.write_parquet(folder / "annotations.parquet", annotations)
    artifacts.write_parquet(folder / "corpus.parquet", corpus)
    code = PANEL_CELL.format(folder=str(folder), overlap=overlap)
    cells = nbformat.v4.new_code_cell(code), nbformat.v4.new_markdown_cell("below")
    with notebook_server(app, folder, *cells) as url:
        yield url


class Annotator:
    """A browser page of one person, and what she does on it."""

    def __init__(self, browser, url: str, **viewport):
        self.problems, self.asked = [], []
        self.page = browser.new_context(viewport={"width": 1280, "height": 900} | viewport).new_page()
        self.page.on("pageerror", self._note)
        self.page.on("dialog", lambda dialog: (self.problems.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url, timeout=WAIT_MS)
        self.panel = self.page.locator(".jwvl-panel")

    def _note(self, error) -> None:
        # the panel's script comes as a blob; what fails in the application's own bundles is not its doing
        if "blob:" in (error.stack or "blob:"):
            self.problems.append(str(error))

    def begin(self, name: str) -> str:
        self.page.get_by_placeholder("your name").fill(name, timeout=WAIT_MS)
        self.page.keyboard.press("Enter")
        return self.on("review")

    def on(self, phase: str, other_than: str = "") -> str:
        self.page.wait_for_selector(f'.jwvl-panel[data-phase="{phase}"]:not([data-annotation="{other_than}"])')
        return self.panel.get_attribute("data-annotation")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def transform(self) -> list[float]:
        """Scale and place of the picture, as drawn: [scale, x, y]."""
        matrix = self.page.evaluate("getComputedStyle(document.querySelector('.jwvl-layer')).transform")
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", matrix)] if matrix != "none" else [1, 0, 0, 1, 0, 0]
        return [numbers[0], numbers[4], numbers[5]]


def run_the_cell(someone: Annotator) -> None:
    """In JupyterLab and Notebook 7: run the first cell, which shows the panel."""
    someone.page.locator(".jp-CodeCell .cm-content").first.click(timeout=WAIT_MS)
    someone.page.wait_for_timeout(2000)
    someone.press("Control+Enter")  # waits in the kernel's queue until it has started
    someone.page.get_by_placeholder("your name").wait_for(timeout=WAIT_MS)


def check_picture(someone: Annotator) -> None:
    """Wheel, drag, 1:1, fit and boxes."""
    frame = someone.page.locator(".jwvl-frame")
    frame.scroll_into_view_if_needed()
    at = frame.bounding_box()
    x, y = at["x"] + at["width"] / 4, at["y"] + at["height"] / 4
    someone.page.mouse.move(x, y)
    someone.page.mouse.wheel(0, -400)
    someone.page.wait_for_function("getComputedStyle(document.querySelector('.jwvl-layer')).transform != 'none'")
    scale, left, top = someone.transform()
    assert scale == pytest.approx(np.e, rel=0.01)
    assert left == pytest.approx(at["width"] / 4 * (1 - scale), rel=0.02)  # what was under the pointer stays there
    someone.page.mouse.down()
    someone.page.mouse.move(x - 30, y - 40, steps=3)
    someone.page.mouse.up()
    assert someone.transform() == pytest.approx([scale, left - 30, top - 40], abs=2)
    someone.press("p")
    drawn = someone.page.locator(".jwvl-layer img").bounding_box()
    assert drawn["width"] == pytest.approx(168, abs=1)  # as many screen pixels as the picture has
    someone.press("0")
    assert someone.transform() == [1, 0, 0]
    boxes = someone.page.locator(".jwvl-layer svg")
    assert boxes.is_visible()
    someone.press("b")
    assert not boxes.is_visible()
    someone.press("b")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_keys_stay_in_the_panel_and_a_reload_resumes(run, chromium, app):
    with served(app, run) as url:
        someone = Annotator(chromium, url)
        run_the_cell(someone)
        first = someone.begin("li.wei")
        cells = someone.page.locator(".jp-Notebook .jp-Cell")
        assert cells.count() == 2
        check_picture(someone)
        # command mode would cut (x), delete (d d), insert (a, b), change (m, y, r), undo (z), run (Enter), save (s)
        someone.press(*"ddmyrcvsnkj", "Enter", "Shift+Enter", "ArrowUp", "ArrowDown", "Delete", "Backspace", "Tab")
        someone.panel.focus()
        assert states(run) == {}
        assert someone.panel.get_attribute("data-annotation") == first
        someone.press("a")
        second = someone.on("review", first)
        someone.press("x", "1")  # as fast as a person types: the digit must not be lost
        third = someone.on("review", second)
        someone.press("f")
        fourth = someone.on("review", third)
        someone.press(" ")
        someone.on("review", fourth)
        assert states(run) == {first: "accept", second: "reject", third: "flag", fourth: "skip"}
        someone.press("z")
        someone.page.wait_for_selector(f'.jwvl-panel[data-annotation="{fourth}"]')
        assert (cells.count(), fourth in states(run)) == (2, False)
        assert someone.page.locator(".jp-Notebook .jp-Cell").nth(1).inner_text().strip() == "below"
        assert someone.panel.evaluate("node => node.contains(document.activeElement)")
        someone.press("Escape", "Escape")
        someone.page.locator(".jp-Notebook .jp-Cell").nth(1).click()
        someone.press("Control+s")
        someone.page.wait_for_timeout(1500)
        someone.page.reload(timeout=WAIT_MS)
        someone.page.locator(".jwvl-panel").wait_for(timeout=WAIT_MS)
        assert someone.on("review") == fourth  # the kernel still has the sitting
        someone.panel.focus()
        someone.press("a")
        someone.on("review", fourth)
        assert states(run)[fourth] == "accept"
        assert someone.problems == []


def test_a_person_decides_by_keys_in_voila(run, chromium):
    with served("voila", run) as url:
        someone = Annotator(chromium, url)
        first = someone.begin("li.wei")
        page, panel = someone.page, someone.panel
        assert page.evaluate("document.querySelector('.jwvl-layer img').naturalWidth") == 168
        check_picture(someone)
        someone.press("h")
        keys = panel.locator(".jwvl-help").inner_text()
        assert all(
            word in keys for word in ("accept", "reject", "skip", "undo", "flag", "edit", "move", "1:1", "boxes")
        )
        someone.press("h")
        assert not panel.locator(".jwvl-help").is_visible()
        signs = page.evaluate(
            "[...document.querySelectorAll('.jwvl-answer mark')].map(m => getComputedStyle(m, '::after').content)"
        )
        assert signs == ['"?"']
        assert panel.locator(".jwvl-claims .sign").all_inner_texts() == ["✓", "?"]
        assert panel.locator(".jwvl-text").evaluate_all("nodes => nodes.map(n => n.lang)") == ["en", "zh-CN"]
        assert set(panel.locator(".jwvl-frame").get_attribute("data-ready").split()) == {"img0", "img1", "img2"}
        someone.press("a")
        second = someone.on("review", first)
        assert re.fullmatch(r"saved \d\d:\d\d:\d\d", panel.locator(".saved").inner_text())
        someone.press("e")
        someone.on("edit")
        panel.locator("textarea").fill(" ")  # cannot be saved, and must not be lost
        someone.press("Control+Enter")
        page.get_by_text("Not saved:").wait_for()
        assert panel.locator("textarea").input_value() == " "
        page.keyboard.type("Mended.")
        someone.press("Control+Enter")
        third = someone.on("review", second)
        assert review.accepted(run[0], run[1])["answer"].tolist()[-1] == " Mended."
        panel.locator("select[name=language]").select_option("zh")
        page.wait_for_function("document.querySelector('.jwvl-text').lang == 'zh-CN'")
        assert "0 of 2" in panel.locator("header").inner_text() or "1 of 3" in panel.locator("header").inner_text()
        someone.press("a", "a", "a")  # quick presses: those for an annotation that has gone are dropped
        page.wait_for_timeout(1000)
        assert {key for key in states(run)} >= {first, second}
        assert third not in (first, second)
        assert someone.problems == []


def test_a_page_opened_again_resumes_and_a_second_person_gets_others(run, chromium):
    with served("voila", run) as url:
        one = Annotator(chromium, url)
        first = one.begin("li.wei")
        one.press("a")
        second = one.on("review", first)
        two = Annotator(chromium, url)
        assert two.begin("m.okafor") not in (first, second)
        one.page.reload(timeout=WAIT_MS)
        assert one.begin("li.wei") == second  # a new kernel, the same place
        assert "1 of 6" in one.panel.locator("header").inner_text()
        assert states(run) == {first: "accept"}


def test_the_second_picture_the_conversation_and_the_answers_boxes_are_drawn(run, chromium):
    more = {"more_images": '["img2"]', "turns": '[{"question": "Which layer?", "answer": "corona", "about": "layer"}]'}
    annotations = run[1].assign(**more, answer='[{"bbox_2d": [1, 2, 30, 40], "label": "active region"}]')
    with served("voila", (run[0], annotations[annotations["image_id"] == "img0"], *run[2:])) as url:
        someone = Annotator(chromium, url)
        first = someone.begin("li.wei")
        boxes = someone.panel.locator(".jwvl-layer rect")
        assert boxes.evaluate_all("nodes => nodes.map(n => n.getAttribute('class'))") == [None, "said"]
        assert someone.panel.locator(".jwvl-turn").all_inner_texts() == ["Which layer?", "corona"]
        assert "2014-02-01" in someone.panel.locator("header strong").inner_text()
        source = someone.panel.locator(".jwvl-layer img").get_attribute("src")
        someone.press("n")
        assert "2014-02-03" in someone.panel.locator("header strong").inner_text()
        assert someone.panel.locator(".jwvl-which").inner_text().split() == ["N", "Picture", "2", "of", "2"]
        assert someone.panel.locator(".jwvl-layer img").get_attribute("src") != source
        assert boxes.count() == 1  # the answer's boxes are in the first
        someone.press("a")
        someone.on("review", first)
        assert "2014-02-01" in someone.panel.locator("header strong").inner_text()
        # the keys that decide are in sight, however much is known of the picture
        assert someone.panel.locator("footer button.accept").is_visible()
        assert someone.problems == []


def test_nothing_overflows_at_any_width(run, chromium):
    with served("voila", run) as url:
        someone = Annotator(chromium, url, width=420)
        someone.begin("li.wei")
        for width in (420, 1280):
            someone.page.set_viewport_size({"width": width, "height": 900})
            assert someone.page.evaluate("document.documentElement.scrollWidth") <= width
            parts = someone.page.locator(".jwvl-panel :is(.jwvl-frame, .jwvl-text, .jwvl-claims, .jwvl-facts, footer)")
            for right in parts.evaluate_all("nodes => nodes.map(n => n.getBoundingClientRect().right)"):
                assert right <= width


# --------------------------------------------------------------------------------------------------------------------
# hostile text

PAYLOAD = "window.owned=1;document.title='owned'"
VECTORS = [
    f"<script>{PAYLOAD}</script>",
    f'<img src=x onerror="{PAYLOAD}">',
    f'<svg onload="{PAYLOAD}"><circle/></svg>',
    f'<iframe srcdoc="<script>parent.{PAYLOAD.replace(";", ";parent.")}</script>"></iframe>',
    f'<body onload="{PAYLOAD}">',
    f'<details open ontoggle="{PAYLOAD}"><summary>s</summary></details>',
    f'<input autofocus onfocus="{PAYLOAD}">',
    f'<video><source onerror="{PAYLOAD}"></video>',
    f'<a href="javascript:{PAYLOAD}">press a</a>',
    f"<style>@import url('javascript:{PAYLOAD}');*{{display:none}}</style>",
    f'<math><mtext><style><img src=x onerror="{PAYLOAD}"></style></mtext></math>',
    f'"><img src=x onerror="{PAYLOAD}">',
    f"'-({PAYLOAD.partition(';')[0].replace('=1', '=1')})-'",
    f"</textarea><script>{PAYLOAD}</script>",
    f"</script><script>{PAYLOAD}</script>",
    f"<!--><img src=x onerror={PAYLOAD.split(';')[0]}>-->",
    "![sun](http://127.0.0.1:9/steal.png?cookie)",
    f'![sun](x" onerror="{PAYLOAD}")',
    f"[link](javascript:{PAYLOAD})",
    "<img src='http://127.0.0.1:9/steal.png'>",
    "<link rel=stylesheet href='http://127.0.0.1:9/steal.css'>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<base href='http://127.0.0.1:9/'>",
    "<form action='http://127.0.0.1:9/'><button autofocus>press</button></form>",
    "${window.owned=1} {{window.owned=1}} <%= 1 %> #{1}",
    "$\\href{javascript:window.owned=1}{x}$ \\(\\unicode{x3c}script\\)",
    '=HYPERLINK("http://127.0.0.1:9/","AR 11967")',
    "'; DROP TABLE review_event; --",
    "\u202eIHGFEDCBA\u202c area 210",
    "AR \u206611967\u2069 \u200f\u061c\u202b",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "\x1b[2J\x1b[31mred\x1b[0m\x07",
    "zero\u200bwidth\ufeff\u2060\u00ad",
    "Z" + "\u0301\u0316\u0337" * 200,
    "\u2028line\u2029paragraph\x0bvertical",
    "😀👩\u200d🚀 日面 שלום مرحبا \U0001f1e8\U0001f1f3 \ufdfd",
    "&lt;script&gt;window.owned=1&lt;/script&gt; &#x3c;img&#x3e; &amp;",
    "constructor __proto__ toString",
    "NaN null undefined [object Object]",
    "x" * 1_000_000,
]
UNSEEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"


def hostile_strings() -> list[str]:
    """A hundred: each vector bare, then inside a sentence, then in capitals or repeated."""
    inside = [f"SDO/AIA 171 shows {v} in AR 11967." for v in VECTORS[:-1]]
    capitals = [v.replace("script", "ScRiPt").replace("onerror", "ONERROR") + "\n# AR\n- *171*" for v in VECTORS[:21]]
    return [*VECTORS, *inside, *capitals]


def shown_as(text: str, limit: int) -> str:
    """What the panel is to show of a text: clipped with a note, signs without a shape spelt out."""
    return re.sub(f"[{UNSEEN}]", lambda m: f"⟨U+{ord(m[0]):04X}⟩", review_item.clip(text, limit))


def hostile_run(folder: Path) -> tuple:
    """A run in which every text field of annotation, claim, step, fact and picture holds the same hostile string."""
    (folder / "images").mkdir()
    Image.new("RGB", (168, 168)).save(folder / "images" / "a.png")
    rows, corpus = [], []
    for i, text in enumerate(hostile_strings()):
        claims = [{"kind": text, "value": text, "text": text, "verdict": text if i % 2 else "supported"}]
        known = [Fact("banner_text", text), Fact("instrument", text)]
        for language in ("en", "zh"):
            rows.append(
                {"annotation_id": f"a{i:03d}{language}", "image_id": f"img{i:03d}", "language": language, "round": 0}
                | {name: text for name in ("task", "question", "answer", "prompt_id", "prompt_version", "teacher")}
                | {"steps": json.dumps([text]), "claims": json.dumps(claims), "choices": "[]"}
            )
        corpus.append(
            {"image_id": f"img{i:03d}", "path": "images/a.png", "width": 168, "height": 168, "simulated": True}
            | {"instrument": text, "banner_text": text, "facts": to_json(known), "boxes": "[]"}
        )
    return review_ledger.open_ledger(folder / "review.sqlite"), pd.DataFrame(rows), pd.DataFrame(corpus), folder


SHOWN = """() => ['.jwvl-question', '.jwvl-answer', '.jwvl-text.other .jwvl-answer',
    '.jwvl-claims li span:nth-child(2)', '.jwvl-claims small', '.jwvl-panel ol li',
    '.jwvl-facts td', '.chip', '.jwvl-row strong']
    .map(name => document.querySelector(name).textContent)"""
FOREIGN = ".jwvl-panel :is(script, iframe, style, link, meta, base, form, a, object, embed, video, math, body)"


def test_a_hundred_hostile_strings_in_every_field_are_text(tmp_path, chromium):
    texts = hostile_strings()
    assert len(set(texts)) == 100
    with served("voila", hostile_run(tmp_path)) as url:
        someone = Annotator(chromium, url)
        someone.begin("<img src=x onerror=alert(1)>")
        title, seen = someone.page.title(), {}
        someone.panel.locator("select[name=language]").select_option("en")
        for _ in range(100):
            key = someone.on("review")
            seen[int(key[1:4])] = someone.page.evaluate(SHOWN)
            assert someone.page.locator(FOREIGN).count() == 0
            assert someone.page.locator(".jwvl-panel img").count() == 1  # the picture
            someone.press("ArrowRight")
            someone.page.wait_for_selector(f'.jwvl-panel:not([data-annotation="{key}"])')
        for i, text in enumerate(texts):
            long, short = shown_as(text, review_item.MAX_CHARACTERS), shown_as(text, 2000)
            found = seen[i]
            assert found[:3] == [long] * 3, text[:80]
            assert found[3:6] == [short] * 3, text[:80]
            assert found[6] == short
            assert found[7] == short
            assert found[8] == shown_as(text.replace("\n", " · "), 2000) + " · simulated"
        assert someone.page.evaluate("window.owned") is None
        assert someone.page.title() == title
        assert [address for address in someone.asked if "127.0.0.1:9/" in address] == []
        assert someone.problems == []
