"""Products in every shape and state: used, missing, torn, stale; the report comes out and says so."""

import json
import re
import shutil
from datetime import date, datetime
from pathlib import Path

import jsonschema
import pytest

from jwvl_lib import report, report_numbers, report_page, report_products, report_sources, simulate, swpc, swpc_products

SCHEMA = json.loads((report_page.DATA / "report.schema.json").read_text(encoding="utf-8"))


def _made(day: str, folder: Path, out: Path) -> tuple[dict, Path]:
    sources = report.gather(day, folder)
    made = report.compose(sources, day)
    return made, report.write(made, sources, out)


def _sound(made: dict, folder: Path) -> None:
    assert report.check(folder) == []
    assert [n for n in report_numbers.resolve(folder) if not n.how] == []
    jsonschema.validate(json.loads((folder / "report.json").read_text(encoding="utf-8")), SCHEMA)


OLD = b'[["time_tag","Kp","a_running"],["2026-04-01 00:00:00.000","2.33","9"],["2026-04-01 03:00:00.000","5.00","40"]]'
NEW = b'[{"time_tag":"2026-04-01T00:00:00","Kp":2.33},{"time_tag":"2026-04-01T03:00:00","Kp":5.0,"a_running":40}]'


@pytest.mark.parametrize("raw", [OLD, NEW, b'{"_cached_at": 1.5, "data": ' + NEW + b"}", b'{"data":' + OLD + b"}"])
def test_every_shape_of_the_json_service_gives_the_same(raw):
    rows = swpc_products.records(swpc_products.relined(raw))
    assert [(str(swpc_products.time_of(r["time_tag"])), float(r["Kp"])) for r in rows] == [
        ("2026-04-01 00:00:00", 2.33),
        ("2026-04-01 03:00:00", 5.0),
    ]


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b'{"data": 3}', b"[", b'[{"a": 1}, {"b"', b"[[[[[", b"\xff\xfe", b"null"]
)
def test_a_torn_json_is_one_clear_line(raw):
    with pytest.raises(swpc.SwpcFormatError, match="fetch it again"):
        swpc_products.relined(raw, "x.json")


def test_cut_at_every_byte_never_gives_a_wrong_record():
    whole = [r["Kp"] for r in swpc_products.records(swpc_products.relined(NEW))]
    for end in range(len(NEW)):
        with pytest.raises(swpc.SwpcFormatError):
            swpc_products.relined(NEW[:end])
    assert whole == [2.33, 5.0]


def test_a_day_of_json_services_alone(shared_data, tmp_path):
    made, folder = _made("2026-07-04", shared_data / "swpc_json", tmp_path)
    _sound(made, folder)
    region = next(r for r in made["regions"] if r["noaa_ar"] == 14480)
    assert (region["location"], region["lon_deg"], region["hale_class"]) == ("S17W71", 71, "Beta-Gamma")
    assert region["swpc_percent"]["m"] == 15
    assert made["regions_from"] == "solar_regions"
    states = {p["product"]: p["state"] for p in made["products"]}
    assert states["xray_flux"] == "used" or made["xray_curve"] is None
    assert any("JSON service" in w for w in made["warnings"])
    assert made["impacts"]["G"]["value"] == "none"


def test_sgas_and_discussion_of_a_real_day(shared_data, tmp_path):
    made, folder = _made("2025-12-22", shared_data / "swpc_2025_dec", tmp_path)
    _sound(made, folder)
    assert {i["name"]: i["value"] for i in made["indices"]}["f107_sfu"] == 124
    assert made["impacts"]["S"]["value"] == "none"
    assert made["impacts"]["G"]["value"] == "G1"
    assert made["activity_level"]["value"] == "moderate"
    assert made["flares"][0]["location"] == "S07E28"
    assert made["discussion"][0]["lines"][0]["text"] in (folder / "report.html").read_text(encoding="utf-8")


def test_every_product_torn_in_turn(shared_data, tmp_path):
    """One file after the other becomes rubbish: the report comes out, its banner names the file."""
    folder = tmp_path / "swpc"
    shutil.copytree(shared_data / "swpc_2025_dec", folder)
    names = [p.name for p in report_sources.find_texts("2025-12-24", folder)]
    for name in names:
        path = next(folder.rglob(name))
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 9] + b"\x00\xff garbage")
        made, written = _made("2025-12-24", folder, tmp_path / name)
        assert any(name in w for w in made["warnings"]), name
        assert report.check(written) == []
        path.write_bytes(raw)


def test_no_summary_at_all_still_gives_the_flares(shared_data, tmp_path):
    run = shared_data / "swpc_text_runs" / "ar12192_2014oct" / "events"
    shutil.copy(run / "20141024events.txt", tmp_path)
    made, folder = _made("2014-10-25", tmp_path, tmp_path / "out")
    _sound(made, folder)
    assert made["regions"] == []
    assert made["regions_from"] is None
    assert made["activity_level"]["value"] == "high"
    assert "regions are not known" in made["warnings"][0]


def test_nothing_at_all_is_one_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="none at all") as said:
        report.gather("2014-10-25", tmp_path)
    assert "\n" not in str(said.value)


def test_a_stale_service_is_said(shared_data, tmp_path):
    for name in ("20251224SRS.txt", "20251223SRS.txt"):
        shutil.copy(shared_data / "swpc_2025_dec" / "srs" / name, tmp_path)
    old = shared_data / "swpc_json" / "xray_flares_20260703.json"
    shutil.copy(old, tmp_path / "xray_flares_20251223.json")
    made, folder = _made("2025-12-24", tmp_path, tmp_path / "out")
    assert any(w.startswith("stale: X-ray flares") for w in made["warnings"])
    assert {p["product"]: p["state"] for p in made["products"]}["xray_flares"] == "stale"
    assert made["activity_level"]["value"] == "not known"
    assert report.check(folder) == []


def test_a_changed_record_of_a_json_source_is_found(shared_data, tmp_path):
    _, folder = _made("2026-07-04", shared_data / "swpc_json", tmp_path)
    path = folder / "sources" / "solar_regions_20260703.json"
    path.write_bytes(path.read_bytes().replace(b'"area":140', b'"area":240'))
    assert any("are not the records of" in p for p in report.check(folder))


def test_returns_transitions_and_flare_history(shared_data, tmp_path):
    made, _ = _made("2014-10-25", shared_data / "swpc_text_runs" / "ar12192_2014oct", tmp_path)
    region = next(r for r in made["regions"] if r["noaa_ar"] == 12192)
    assert region["flare_history"]["X"] >= 3
    assert ("Dki", "Fkc") in [(t["before"], t["after"]) for t in region["transitions"]]
    watched = next(w for w in made["watch_list"] if w["noaa_ar"] == 12192)
    assert any("magnetogram" in line for line in watched["observe"])
    assert len(watched["observe"]) == len(watched["observe_zh"])


def test_a_number_changed_in_a_page_is_not_resolved(shared_data, tmp_path):
    """What `resolve` is for: an area, a class and a place, each changed in the page or the Markdown, is noticed."""
    _, folder = _made("2014-10-25", shared_data / "swpc_text_runs" / "ar12192_2014oct", tmp_path)
    for name, old, new in (
        ("report.html", ">2510<", ">2519<"),
        ("report.html", ">X3.1<", ">X3.7<"),
        ("report.html", ">S12W21<", ">S18W73<"),
        ("report.md", "| 2510 |", "| 2519 |"),
    ):
        page = folder / name
        text = page.read_text(encoding="utf-8")
        if old not in text:
            continue
        page.write_text(text.replace(old, new), encoding="utf-8")
        assert [n for n in report_numbers.resolve(folder) if not n.how], (name, new)
        page.write_text(text, encoding="utf-8")
    assert [n for n in report_numbers.resolve(folder) if not n.how] == []


def test_solarmonitor_is_compared_by_its_numbers(tmp_path, shared_data):
    shutil.copy(shared_data / "swpc_2025_dec" / "srs" / "20251224SRS.txt", tmp_path)
    page = "<html><td>14312</td><td>14399</td><script>var x = 3.14312;</script></html>"
    (tmp_path / "solarmonitor_20251224.html").write_text(page)
    made, folder = _made("2025-12-24", tmp_path, tmp_path / "out")
    check = made["cross_checks"][0]
    assert check["only_there"] == [14399]
    assert 14317 in check["only_here"]
    _sound(made, folder)


def test_a_summary_under_another_days_name_is_not_used(tmp_path, shared_data):
    shutil.copy(shared_data / "swpc_2025_dec" / "srs" / "20251223SRS.txt", tmp_path / "20251224SRS.txt")
    source = report_sources.from_bytes("20251224SRS.txt", (tmp_path / "20251224SRS.txt").read_bytes())
    found = report_products.read(source, date(2025, 12, 24))
    assert found.summaries == {}
    assert "its name says otherwise" in found.warnings[0][0]


def test_an_events_list_under_another_days_name_is_not_used(tmp_path, shared_data):
    raw = (shared_data / "swpc_text_runs" / "ar12192_2014oct" / "events" / "20141022events.txt").read_bytes()
    sources = report_sources.from_bytes("20141023events.txt", raw)
    found = report_products.read(sources, date(2014, 10, 24))
    assert found.events == {}
    assert "lists the events of 2014-10-22, its name says otherwise" in found.warnings[0][0]


@pytest.mark.parametrize(
    ("kp", "grade"), [(4.33, "none"), (4.67, "G1"), (5.67, "G2"), (8.0, "G4"), (8.33, "G4"), (8.67, "G4"), (9.0, "G5")]
)
def test_a_storm_is_graded_as_noaa_grades_it(tmp_path, kp, grade):
    rows, issued = [{"time_tag": "2024-10-10T03:00:00", "Kp": kp}], datetime(2024, 10, 11, 0, 30)
    (tmp_path / "planetary_kp_20241010.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "20241011SRS.txt").write_text(swpc.write_srs(simulate.srs_frame([], None), issued), encoding="utf-8")
    made, folder = _made("2024-10-11", tmp_path, tmp_path / "out")
    assert made["impacts"]["G"]["value"] == grade
    _sound(made, folder)


def test_a_region_without_class_and_place_is_told_without_them(tmp_path):
    place = {"latitude": 17, "longitude": -102, "location": "N17W0*"}
    row = {"observed_date": "2020-12-07", "region": 2785, **place, "area": 120, "spot_class": None, "number_spots": 2}
    (tmp_path / "solar_regions_20201207.json").write_text(json.dumps([row]), encoding="utf-8")
    made, folder = _made("2020-12-08", tmp_path, tmp_path / "out")
    assert "The largest is 12785: 120 millionths of the hemisphere, 2 spots." in made["narrative"]["en"]
    assert any("no McIntosh class is given" in w for w in made["warnings"])
    assert "| 12785 | not given | not given | not given | 120 |" in (folder / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"None(?![ :])", (folder / "report.html").read_text(encoding="utf-8"))  # but "None: no model"
    _sound(made, folder)
