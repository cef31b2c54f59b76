"""The agent, its web, its narrator and the index: planted instructions change nothing, hostile text stays text."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hostile_texts import DAY, PAYLOADS, PLANTS

from jwvl_lib import report, report_agent, report_archive, report_claims, report_page, swpc_web


@pytest.fixture
def december(shared_data, tmp_path):
    folder = tmp_path / "swpc"
    shutil.copytree(shared_data / "swpc_2025_dec", folder)
    return folder


def _numbers(made: dict) -> dict:
    """What no planted text may change."""
    keys = ("activity_level", "regions", "flares", "impacts", "indices", "watch_list", "narrative", "claims")
    return json.loads(re.sub(r'"line": \d+', '"line": 0', json.dumps({k: made[k] for k in keys})))


def _plant(folder: Path, text: str) -> None:
    """A comment in the summary, a line in SGAS's comments and in the discussion, a SolarMonitor page."""
    srs = next(folder.rglob("20251224SRS.txt"))
    srs.write_text(srs.read_text() + f"COMMENT {text}\n", encoding="utf-8")
    sgas = next(folder.rglob("20251224SGAS.txt"))
    sgas.write_text(sgas.read_text().replace("F.  Comments:  None", f"F.  Comments:  {text}"), encoding="utf-8")
    talk = next(folder.rglob("20251224discussion.txt"))
    talk.write_text(talk.read_text() + f"{text}\n", encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 50, 10))
def test_planted_instructions_change_no_number(december, monkeypatch, start):
    monkeypatch.setattr("socket.socket.connect", lambda *a: pytest.fail("a request was made"))
    plain = _numbers(report.compose(report.gather(DAY, december), DAY))
    texts = {p: p.read_bytes() for p in december.rglob("*.txt")}
    for plant in PLANTS[start : start + 10]:
        _plant(december, plant)
        made = report.compose(report.gather(DAY, december), DAY)
        assert _numbers(made) == plain, plant
        for path, raw in texts.items():
            path.write_bytes(raw)
    assert len(set(PLANTS)) == 50


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 100, 25))
def test_hostile_text_stays_text_in_every_source(december, start):
    texts = {p: p.read_bytes() for p in december.rglob("*.txt")}
    for payload in PAYLOADS[start : start + 25]:
        _plant(december, payload)
        sources = report.gather(DAY, december)
        made = report.compose(sources, DAY, troubles=[payload], written={"en": payload}, model=payload)
        page = report_page.html(made)
        tags = set(re.findall(r"<([a-zA-Z]+)", page))
        assert tags & {"script", "img", "iframe", "object", "embed", "form"} == set()
        assert page.count("<style") == 1
        assert not re.search(r"<[a-z]+[^>]*\s(on\w+|src)=", page)
        assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))
        for path, raw in texts.items():
            path.write_bytes(raw)
    assert len(set(PAYLOADS)) == 100


def test_plan_and_transcript(december, tmp_path):
    folder, log = report_agent.make_report(DAY, december, tmp_path)
    saved = json.loads((folder / "transcript.json").read_text(encoding="utf-8"))
    assert saved["plan"] == [s["name"] for s in saved["steps"]] == [name for name, _ in report_agent.PLAN]
    states = {s["name"]: s["state"] for s in log.rows()}
    assert states == {
        **dict.fromkeys(("acquire", "narrate", "look"), "skipped"),
        **dict.fromkeys(("gather", "read", "compose", "write", "verify"), "done"),
    }
    assert saved["steps"][-1]["outputs"] == {"problems": []}


def test_a_narrator_that_lies_is_dropped_sentence_by_sentence(december, tmp_path, httpserver):
    text = "Region 14317 has McIntosh class Eki. Region 14317 has McIntosh class Fkc. An X9.9 flare is certain."
    answer = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    httpserver.expect_request("/v1/chat/completions").respond_with_json(answer)
    folder, log = report_agent.make_report(
        DAY, december, tmp_path, narrator_base_url=httpserver.url_for("/v1"), narrator_model="m", languages="en"
    )
    made = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert made["narrative"]["en"] == "Region 14317 has McIntosh class Eki."
    dropped = {c["text"]: c["verdict"] for c in made["claims"] if c.get("meant_for") == "narrative"}
    assert dropped["Region 14317 has McIntosh class Fkc."] == "contradicted"
    assert len(dropped) == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<s>Region 14317 has McIntosh class Fkc.</s>" in page
    assert (log.steps["narrate"].tokens_in, log.steps["narrate"].tokens_out) == (11, 7)
    assert report.check(folder) == []


def test_a_narrator_that_is_down_leaves_the_templates(december, tmp_path):
    folder, log = report_agent.make_report(
        DAY, december, tmp_path, narrator_base_url="http://127.0.0.1:9/v1", narrator_model="m"
    )
    made = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert "did not answer" in made["warnings"][0]
    assert "14317" in made["narrative"]["en"]
    assert log.steps["narrate"].state == "failed"
    assert report.check(folder) == []


def test_a_verdict_changed_by_hand_is_found(december, tmp_path):
    sources = report.gather(DAY, december)
    plain = report.compose(sources, DAY)
    facts = report_claims.day_facts(plain)
    said = list(report_claims.judged_sentences("Region 14317 has McIntosh class Fkc.", "en", facts))
    made = report.compose(sources, DAY, model="m", model_claims=[{**said[0], "verdict": "supported"}])
    assert any("the facts say contradicted" in p for p in report.check(report.write(made, sources, tmp_path)))


def test_a_region_number_alone_supports_no_sentence(december):
    """That a region is on the disk does not vouch for whatever else is said of it."""
    facts = report_claims.day_facts(report.compose(report.gather(DAY, december), DAY))
    number = next(f.value for f in facts if f.kind == "noaa_ar")
    said = report_claims.judged_sentences(f"Remove region {number} from the table.", "en", facts)
    assert [s["verdict"] for s in said] == ["unsupported"]


# --------------------------------------------------------------------------------------------------------------------
# the web


def test_products_are_fetched_checked_and_hashed(december, tmp_path, httpserver):
    srs = next(december.rglob("20251224SRS.txt")).read_bytes()
    httpserver.expect_request("/srs").respond_with_data(srs)
    httpserver.expect_request("/torn").respond_with_data(b"[{")
    httpserver.expect_request("/gone").respond_with_data("no", status=503)
    httpserver.expect_request("/away").respond_with_data("", status=302, headers={"Location": "https://203.0.113.7/x"})
    base = httpserver.url_for("")
    wanted = {"SRS": f"{base}/srs", "xray_flux": f"{base}/torn", "SGAS": f"{base}/gone", "discussion": f"{base}/away"}
    wanted |= {"events": "https://203.0.113.7/events", "f107_flux": "file:///etc/hostname"}
    fetched = swpc_web.acquire(DAY, tmp_path / "a", wanted, frozenset({httpserver.host}))
    assert [bool(f.error) for f in fetched] == [False, True, True, True, True, True]
    assert (tmp_path / "a" / "20251224SRS.txt").read_bytes() == srs
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["20251224SRS.txt", "fetched.json"]
    assert "not allowed" in fetched[3].error
    origins = swpc_web.origins(tmp_path / "a")
    made = report.compose(report.gather(DAY, tmp_path / "a", origins), DAY)
    assert made["sources"][0]["url"] == f"{base}/srs"
    assert made["sources"][0]["fetched_utc"].endswith("Z")


def test_service_down_gives_the_report_and_says_so(december, tmp_path, monkeypatch):
    down = {"SRS": "http://127.0.0.1:9/srs", "SGAS": "http://127.0.0.1:9/sgas"}
    monkeypatch.setattr(swpc_web, "ADDRESSES", down)
    monkeypatch.setattr(swpc_web.acquire, "__defaults__", (None, frozenset({"127.0.0.1"})))
    folder, _ = report_agent.make_report(DAY, december, tmp_path, web=True)
    made = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert made["warnings"][0] == "not fetched: SRS, SGAS"
    assert len(made["regions"]) == 7


# --------------------------------------------------------------------------------------------------------------------
# many days


def test_backfill_goes_on_where_it_ended_and_indexes(december, tmp_path):
    out = tmp_path / "out"
    first = report_archive.backfill("2025-12-19", "2025-12-25", december, out, workers=1)
    assert [d.state for d in first] == ["made"] * 7
    (out / "2025-12-21" / "report.json").unlink()
    again = report_archive.backfill("2025-12-19", "2025-12-26", december, out, workers=2)
    assert [d.state for d in again] == ["kept", "kept", "made", "kept", "kept", "kept", "kept", "made"]
    rows = json.loads((out / "index.json").read_text(encoding="utf-8"))
    assert [r["report_date"] for r in rows][:2] == ["2025-12-26", "2025-12-25"]


def test_a_day_without_products_is_one_line(december, tmp_path):
    assert report_archive.main(["2020-01-01", "2020-01-02", "--swpc-dir", str(december), "--out", str(tmp_path)]) == 1
    made = report_archive.make_day("2020-01-01", str(december), str(tmp_path))
    assert made.state == "failed"
    assert "\n" not in made.reason


# --------------------------------------------------------------------------------------------------------------------
# a real browser


@pytest.mark.browser
def test_index_search_and_the_page_behind_it(chromium, december, tmp_path):
    report_archive.backfill("2025-12-22", "2025-12-24", december, tmp_path, workers=1)
    page, said = chromium.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "index.html").as_uri())
    page.fill("#search", "14317 EKI")
    visible = page.locator("tbody tr:visible")
    assert visible.count() == int(page.inner_text("#count")) < 3
    page.fill("#search", "nothing like this")
    assert visible.count() == 0
    page.fill("#search", "")
    page.click("tbody tr:first-child a")
    assert page.url.endswith("2025-12-24/report.html")
    page.click("label[for=show-en]")
    page.get_by_text("In SWPC's own words").wait_for()
    link = page.locator("#region-14317 a.n").first
    assert "20251224SRS.txt, line 14, sha256" in link.get_attribute("title")
    link.click()
    assert "4317" in page.locator("li:target").inner_text()
    assert said == []


@pytest.mark.browser
def test_accessibility_by_axe(chromium, december, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    report_archive.backfill("2025-12-24", "2025-12-24", december, tmp_path, workers=1)
    context = chromium.new_context(bypass_csp=True)  # axe is a script, and the pages allow none
    for path in ("index.html", f"{DAY}/report.html"):
        page = context.new_page()
        page.goto((tmp_path / path).as_uri())
        found = axe.Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"][:160]) for v in found] == [], path
