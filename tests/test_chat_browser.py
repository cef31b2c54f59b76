"""The chat page in chromium over Voilà: typed in both languages, streamed, cited, pictured, by keyboard, on a phone."""

from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from chat_server import scripted
from servers import notebook_server
from test_chat import day, small_corpus  # noqa: F401
from test_panel_browser import WAIT_MS, hostile_strings, shown_as

from jwvl_lib import artifacts, chat_log

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import json
from pathlib import Path
import pandas as pd
from jwvl_lib import chat, chat_pictures
from jwvl_lib.chat_panel import ChatPanel
day, folder = Path({day!r}), Path({folder!r})
report = json.loads((day / "report.json").read_text())
pictures = chat_pictures.pictures(pd.read_parquet(folder / "corpus.parquet"), folder, report, day)
room = chat.room_of(day, pictures, report, base_url={base_url!r}, model="scripted")
ChatPanel(room, folder / "conversations")
"""
SAID = "The largest is in the SE quadrant. SDO/AIA shows the corona. It may glow tomorrow."
WATCH = """() => {
    const log = document.querySelector('.log');
    window.lengths = new Set();
    const note = () => window.lengths.add(log.textContent.length);
    new MutationObserver(note).observe(log, {childList: true, subtree: true});
}"""
FOREIGN = ".jwvl-chat :is(script, iframe, style, link, meta, base, form, a, object, embed, video, math, body, svg)"


@pytest.fixture(scope="module")
def site(day, tmp_path_factory):  # noqa: F811
    """(address of the page in Voilà, its folder): one server, a slow scripted endpoint behind it."""
    folder, pieces = tmp_path_factory.mktemp("site"), [SAID[i : i + 5] for i in range(0, len(SAID), 5)]
    with scripted(pieces=pieces, pause_s=0.15) as (base_url, _), served(day, folder, base_url) as url:
        yield url, folder


@contextmanager
def served(day: Path, folder: Path, base_url: str):  # noqa: F811
    """The address of the page in Voilà, for as long as the block lasts."""
    artifacts.write_parquet(folder / "corpus.parquet", small_corpus(folder))
    code = CELL.format(day=str(day), folder=str(folder), base_url=base_url)
    cells = nbformat.v4.new_markdown_cell("# A notebook"), nbformat.v4.new_code_cell(code)
    with notebook_server("voila", folder, *cells) as url:
        yield url


class Reader:
    """One person's page, and what she does on it."""

    def __init__(self, context, url: str):
        self.problems, self.asked = [], []
        self.page = context.new_page()
        self.page.on(
            "pageerror", lambda error: self.problems.append(str(error)) if "blob:" in (error.stack or "") else 0
        )
        self.page.on("dialog", lambda dialog: (self.problems.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url, timeout=WAIT_MS)
        self.chat = self.page.locator(".jwvl-chat.page")
        self.chat.wait_for(timeout=WAIT_MS)
        self.page.wait_for_selector(".offer", timeout=WAIT_MS)

    def ask(self, question: str):
        """Type a question, press Enter, wait for the end; the answered turn."""
        n = self.page.locator(".turn").count()
        self.page.locator("textarea").fill(question)
        self.page.keyboard.press("Enter")
        return self.answered(n)

    def answered(self, n: int):
        done = """n => document.querySelectorAll('.turn').length > n
            && document.querySelector('.jwvl-chat').dataset.busy === 'false'
            && !document.querySelector('.turn[data-state=answering]')"""
        self.page.wait_for_function(done, arg=n, timeout=WAIT_MS)
        return self.page.locator(".turn").nth(n)


def test_a_person_asks_in_two_languages_and_reads_the_evidence(chromium, site):
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    reader = Reader(context, site[0])
    page = reader.page
    turn = reader.ask("What is the area of AR 9169?")
    assert turn.locator(".origin").inner_text() == "From the day's facts"
    assert "1210 millionths" in turn.locator(".answer").inner_text()
    assert turn.locator(".mark .sign").all_inner_texts() == ["✓", "✓"]
    turn.locator(".cite").hover()
    assert "20000927SRS.txt, line 13" in page.locator(".hover").inner_text()
    turn.locator(".cite").click()
    evidence = turn.locator(".sentence > .evidence")
    assert "9169 N12W34   076  1210 FKC" in evidence.inner_text()
    assert "sha256" in evidence.inner_text()
    turn = reader.ask("它的面积有变化吗？")
    assert "由1910减小到1210" in turn.locator(".answer").inner_text().replace("✓", "")
    assert turn.locator(".answer").get_attribute("lang") == "zh-CN"
    check_streaming_and_pictures(reader)
    check_keyboard(reader)
    page.get_by_text("中文", exact=True).click()
    page.get_by_text("当日太阳问答").wait_for()
    before = page.locator(".turn .question p").all_inner_texts()
    page.reload(timeout=WAIT_MS)
    page.locator(".turn").nth(len(before) - 1).wait_for(timeout=WAIT_MS)
    assert page.locator(".turn .question p").all_inner_texts() == before
    assert reader.problems == []


def check_streaming_and_pictures(reader: Reader) -> None:
    page = reader.page
    page.locator(".tile").nth(0).click()
    page.locator(".tray .chip").wait_for()
    page.evaluate(WATCH)
    turn = reader.ask("Describe the image.")
    assert page.evaluate("window.lengths.size") > 6  # it grew while it was watched
    assert turn.locator("del").inner_text().startswith("The largest is in the SE")
    assert turn.locator(".instead").inner_text() == "The facts say: AR 19000, quadrant: SW"
    assert turn.locator(".sentence.unsupported .open").get_attribute("aria-label")
    assert turn.locator(".question img").evaluate("node => node.naturalWidth") == 56
    assert page.locator(".tile .unreadable").inner_text().endswith("cannot be read")  # the torn one
    page.locator(".tile").nth(2).click()
    page.locator(".tray .chip").nth(1).wait_for()
    assert page.locator(".tile .place").all_inner_texts() == ["1", "2"]
    turn = reader.ask("And the second image?")
    assert turn.locator(".question img").count() == 2
    assert turn.locator(".instead").first.inner_text() == "The facts say: AR 19000, quadrant: NE"


def check_keyboard(reader: Reader) -> None:
    """A picture taken away, evidence opened and closed, an answer stopped: without a mouse."""
    page = reader.page
    page.locator("textarea").focus()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "remove"
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.tray .chip').length === 1")
    cite = page.locator(".turn").first.locator(".cite")
    cite.focus()
    is_open = cite.get_attribute("aria-expanded")
    page.keyboard.press("Enter")
    assert cite.get_attribute("aria-expanded") != is_open
    n = page.locator(".turn").count()
    page.locator("textarea").fill("Describe the image.")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn[data-state=answering]")
    page.keyboard.press("Escape")
    assert reader.answered(n).get_attribute("data-state") == "stopped"
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"


def test_nothing_overflows_and_axe_finds_nothing_serious(chromium, site):
    """On a desktop and a phone, evidence and pictures open."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    reader = Reader(chromium.new_context(viewport={"width": 1280, "height": 800}), site[0])
    page = reader.page
    reader.ask("Which regions should be watched, and why?")
    reader.ask("What is F10.7?")
    for i, width in enumerate((1280, 390)):
        page.set_viewport_size({"width": width, "height": 800})
        if width < 860:
            page.locator(".pick").click()
        page.locator(".tile").nth(i).click()
        page.locator(".tray .chip").nth(i).wait_for(state="attached")
        if width < 860:
            assert axe_serious(axe, page) == []  # the sheet of pictures lies over the talk
            page.locator(".close").click()
        turn = reader.ask("Describe the image.")
        turn.locator(".cite").first.click()
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        parts = page.locator(".jwvl-chat :is(header, .log, footer, .sentence, .evidence, .composer, .question)")
        for right in parts.evaluate_all("nodes => nodes.map(n => n.getBoundingClientRect().right)"):
            assert right <= width + 0.5
        assert axe_serious(axe, page) == []


def axe_serious(axe, page) -> list:
    found = axe.Axe().run(page).response["violations"]
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]


def hostile_conversation(folder: Path, texts: list[str]) -> None:
    """A conversation in which question, answer, claim, evidence and reason of a turn hold the same hostile string."""
    path = chat_log.path_of(folder / "conversations", "hostile")
    for i, text in enumerate(texts):
        turn = {"turn": f"t{i:03d}", "asked_utc": "", "question": text, "language": "en", "images": [], "model": text}
        line = {"source": text, "line": 1, "text": text}
        claims = [{"kind": text, "value": text, "text": text, "verdict": text, "evidence": [line]}]
        sentence = {"text": f"Said {text}", "origin": "model", "evidence": [line], "verdict": "contradicted"}
        sentence |= {"claims": claims, "instead": text}
        chat_log.append(path, {"event": "question", **turn})
        chat_log.append(path, {"event": "sentence", "turn": turn["turn"], **sentence})
        chat_log.append(path, {"event": "end", "turn": turn["turn"], "state": "failed", "reason": text[:300]})


def test_a_hundred_hostile_strings_in_every_field_are_text(chromium, site):
    url, folder = site
    texts = hostile_strings()
    assert len(set(texts)) == 100
    assert max(map(len, texts)) == 1_000_000
    hostile_conversation(folder, texts)
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    known = "localStorage.setItem(`jwvl-chat ${location.pathname}`, JSON.stringify([{name: 'hostile', title: 'x'}]))"
    context.add_init_script(f"if (location.protocol === 'http:') {known}")
    reader = Reader(context, url)
    page = reader.page
    page.locator(".turn").nth(len(texts) - 1).wait_for(timeout=WAIT_MS)
    page.evaluate("document.querySelectorAll('.cite').forEach(n => n.click())")
    title = page.title()
    questions = page.locator(".turn .question p").evaluate_all("nodes => nodes.map(n => n.textContent)")
    instead = page.locator(".instead").evaluate_all("nodes => nodes.map(n => n.textContent)")
    codes = page.locator(".sentence > .evidence code").evaluate_all("nodes => nodes.map(n => n.textContent)")
    for i, text in enumerate(texts):
        assert questions[i] == shown_as(text, 20_000), text[:80]
        assert instead[i].endswith(shown_as(text, 2000)), text[:80]
        assert codes[i] == shown_as(text, 2000), text[:80]
    assert page.locator(FOREIGN).count() == 0
    assert page.evaluate("window.owned") is None
    assert page.title() == title
    assert [address for address in reader.asked if "127.0.0.1:9/" in address] == []
    assert reader.problems == []
