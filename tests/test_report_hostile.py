"""Texts from outside stay texts: hostile payloads in every source run nothing, planted orders change no number."""

import json
import re

import pytest
from hostile_texts import DAY, PAYLOADS, PLANTS, SOURCES, plant, whole_day

from jwvl_lib import report, report_agent, report_archive


@pytest.fixture
def day(shared_data, tmp_path):
    return whole_day(shared_data, tmp_path / "swpc")


def _numbers(made: dict) -> str:
    """A report without its quoted texts, and without what counts lines or bytes of the files that were changed."""
    dropped = ("sources", "discussion", "images")
    kept = {k: v for k, v in made.items() if k not in dropped}
    placed = [{"date_obs": i.get("date_obs"), "regions": i["regions"]} for i in made["images"] if i["disk"]]
    text = re.sub(r"image_\d+_header", "image_header", json.dumps([kept, placed], sort_keys=True))
    return re.sub(r'"line": \d+', '"line": 0', re.sub(r'"text": "(?:[^"\\]|\\.)*"', '"text": ""', text))


def _made(folder, out):
    written, _ = report_agent.make_report(DAY, folder, out)
    return json.loads((written / "report.json").read_text(encoding="utf-8")), written


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_fifty_planted_instructions_change_no_number_and_ask_nothing(day, tmp_path, monkeypatch, source):
    assert len(set(PLANTS)) == 50
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(f"socket.socket.{name}", lambda *a: pytest.fail("a request was made"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: pytest.fail("a name was looked up"))
    plain, _ = _made(day, tmp_path / "plain")
    plant(day, source, PLANTS)
    made, written = _made(day, tmp_path / "planted")
    assert _numbers(made) == _numbers(plain)
    assert report.check(written) == []
    states = [(s["name"], s["state"]) for s in json.loads((written / "transcript.json").read_text())["steps"]]
    assert [name for name, state in states if state == "skipped"] == ["acquire", "narrate", "look"]


@pytest.mark.browser
@pytest.mark.slow
def test_a_hundred_payloads_in_every_source_execute_nothing(day, tmp_path, chromium):
    """Without the page's own policy, so that it is the escaping that is shown to hold; then with it."""
    assert len(set(PAYLOADS)) == 100
    for source in SOURCES:
        for start in range(0, 100, 25) if source == "image name" else (0,):
            plant(day, source, PAYLOADS[start : start + 25] if source == "image name" else PAYLOADS)
    made, written = _made(day, tmp_path / "out")
    text = json.dumps(made)
    assert sum(json.dumps(p)[1:-1] in text for p in PAYLOADS) == 100  # they did reach the report
    report_archive.write_index(tmp_path / "out")
    pages = (written / "report.html", tmp_path / "out" / "index.html")
    assert [p for bypass in (True, False) for path in pages for p in _said(chromium, path, bypass)] == []


def _said(chromium, path, bypass_csp: bool) -> list:
    """What a page of a report does that it must not: dialogs, console messages, requests, handlers, scripts, frames."""
    context, seen = chromium.new_context(bypass_csp=bypass_csp), []
    page = context.new_page()
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: seen.append(message.text))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else seen.append(r.url))
    page.goto(path.as_uri())
    page.wait_for_timeout(300)
    everything = "[...document.querySelectorAll('*')]"
    seen += page.evaluate(
        f"{everything}.filter(e => [...e.attributes].some(a => /^on/.test(a.name))).map(e => e.tagName)"
    )
    seen += page.evaluate("[...document.querySelectorAll('iframe, object, embed, form, base')].map(e => e.tagName)")
    links = page.evaluate("[...document.querySelectorAll('[href], [src]')].map(e => e.getAttribute('href') || e.src)")
    seen += [a for a in links if not re.match(r"#|data:image/(png|jpeg|gif);base64,|\d{4}-\d\d-\d\d/report.html$", a)]
    n_scripts = page.evaluate("document.scripts.length")
    return seen + ["scripts"] * (n_scripts != (1 if path.name == "index.html" else 0))
