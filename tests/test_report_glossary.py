"""The glossary of the report's page: whole in both languages, marked with what the day has, its digits proved."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import sunpy

from jwvl_lib import knowledge, report, report_glossary, report_numbers, report_page

SUNPY_SRS = Path(sunpy.__file__).parent / "data" / "test" / "SRS"
DAY = "2000-09-27"


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    out = tmp_path_factory.mktemp("day")
    sources = report.gather(DAY, SUNPY_SRS)
    made = report.compose(sources, DAY)
    return made, report.write(made, sources, out)


def _region(**changes):
    return {"mcintosh_class": "Ekc", "hale_class": "Beta-Gamma-Delta", "flags": ["delta"], **changes}


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.targets, self.keys = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        if given.get("href", "").startswith("#g-"):
            self.targets.add(given["href"][1:])
        if "data-k" in given:
            self.keys.append(given["data-k"])


def test_the_glossary_has_every_entry_of_its_sections_once_with_sources():
    report_of_day = {"regions": [], "flares": [], "indices": [], "impacts": {}, "activity_level": {"value": "low"}}
    groups, sources = report_glossary.groups(report_of_day)
    rows = [row for group in groups for s in group["sections"] for row in s["rows"]]
    keys = [row["entry"].key for row in rows]
    assert len(keys) == len(set(keys)) > 60
    assert all(row["notes"] for row in rows)
    assert [s["number"] for s in sources] == list(range(1, len(sources) + 1))
    assert all(set(row["entry"].says) == {"en", "zh"} for row in rows)


def test_what_the_day_has_is_marked():
    made = {
        "regions": [_region(), _region(mcintosh_class="Ckc", hale_class=None, flags=["illegal_class", "hale_missing"])],
        "flares": [{"goes_class": "M5.1"}],
        "impacts": {"R": {"value": "R2"}, "S": {"value": "none"}, "G": {"value": "not known"}},
        "indices": [{"name": "ap"}],
        "activity_level": {"value": "very high"},
    }
    groups, _ = report_glossary.groups(made)
    here = {row["entry"].key for g in groups for s in g["sections"] for row in s["rows"] if row["here"]}
    assert here == {
        *("mcintosh_z.E", "mcintosh_p.k", "mcintosh_c.c", "hale_class.Beta-Gamma-Delta", "goes_class.M", "R.R2"),
        *("flag.delta", "flag.illegal_class", "flag.hale_missing", "index.ap", "activity_level.very high"),
    }


def test_a_class_is_read_in_both_languages():
    assert [code for code, _ in report_glossary.reading(_region())] == ["E", "k", "c", "βγδ"]
    assert report_glossary.reading(_region(mcintosh_class="Ckc", hale_class=None)) == []
    zh = report_glossary.reading_text(_region(), "mcintosh_class", "zh")
    assert zh.startswith("E：")
    assert zh.count("；") >= 2
    assert report_glossary.reading_text(_region(), "hale_class", "en").startswith("βγδ: Beta-gamma with")


@pytest.mark.parametrize("languages", [("zh", "en"), ("zh",), ("en",)])
def test_every_link_into_the_glossary_has_a_target(day, languages):
    text = report_page.html({**day[0], "languages": languages})
    page = Links(text)
    assert len(page.ids) == len(set(page.ids))
    assert page.targets >= {"g-mcintosh_z", "g-hale_class", "g-unit-msh", "g-R", "g-S", "g-G", "g-activity_level"}
    assert page.targets <= set(page.ids)
    shown = {e.key for name in ("R", "goes_class", *knowledge.PLACES) for e in knowledge.section(name).values()}
    assert shown <= set(page.keys)


def test_a_class_on_the_page_is_explained_beside_its_evidence(day):
    text = (day[1] / "report.html").read_text(encoding="utf-8")
    tips = re.findall(r'title="([^"]*)">FKC<|title="([^"]*)">Fkc<', text)
    tip = next(a or b for a, b in tips)
    assert "F：" in tip
    assert "F: " in tip
    assert "sha256" in tip


def test_digits_of_definitions_are_proved_by_the_knowledge_base_and_a_wrong_one_is_not(day, tmp_path):
    found = report_numbers.resolve(day[1])
    defined = [n for n in found if n.how == "definition"]
    assert [n for n in found if not n.how] == []
    assert len(defined) > 100
    assert any(n.where == "source.mcintosh1990" and n.text == "125" for n in defined)
    folder = Path(shutil.copytree(day[1], tmp_path / "day"))
    page = folder / "report.html"
    page.write_text(page.read_text("utf-8").replace("at most 10° of", "at most 11° of"), "utf-8")
    assert {(n.where, n.text) for n in report_numbers.resolve(folder) if not n.how} == {("mcintosh_z.D", "11")}


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_glossary_in_a_real_browser(chromium, day, width):
    page, said = chromium.new_page(viewport={"width": width, "height": 800}), []
    page.on("console", lambda message: said.append(message.text))
    page.goto((day[1] / "report.html").as_uri())
    zh = page.locator("#g-mcintosh_z-F dd .zh")
    en = page.locator("#g-mcintosh_z-F dd .en")
    assert (zh.is_visible(), en.is_visible()) == (False, False)
    page.locator("tr .wide summary").first.click()  # what a region's class means stands in its details
    page.locator(".reading a.code:visible").first.click()
    assert (zh.is_visible(), en.is_visible()) == (True, False)
    page.click("label[for=show-en]")
    assert (zh.is_visible(), en.is_visible()) == (False, True)
    page.locator(".strip a.g:visible").nth(1).click()
    assert page.locator("#g-R-R5").is_visible()
    assert page.locator("#g-R-R5").bounding_box()["y"] < 800
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_with_everything_open_has_no_serious_finding(chromium, day, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = chromium.new_context(bypass_csp=True, viewport={"width": width, "height": 800}).new_page()
    page.goto((day[1] / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
