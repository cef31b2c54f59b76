"""Products missing, torn, stale, in the new shape, the service down: the command of one day ends well and says so.

Each case runs `python -m jwvl_lib.report_agent` as it stands; where nothing is left, it ends with one clear line.
"""

import json
import subprocess
import sys

import jsonschema
import pytest
from hostile_texts import DAY, whole_day

from jwvl_lib import report, report_agent, report_page, swpc_web

SCHEMA = json.loads((report_page.DATA / report.SCHEMA).read_text(encoding="utf-8"))


@pytest.fixture
def day(shared_data, tmp_path):
    return whole_day(shared_data, tmp_path / "swpc")


def _remove(folder, *names):
    for name in names:
        for path in [p for p in folder.rglob(name) if p.is_file()]:
            path.unlink()


def _tear(folder, *names):
    for name in names:
        for path in folder.rglob(name):
            raw = path.read_bytes()
            path.write_bytes(raw[: len(raw) // 3])


def _age(folder, product):
    path = folder / f"{product}_20251224.json"
    path.write_text(path.read_text().replace("2025-12-23", "2025-12-20"))


def _wrap(folder, product):
    path = folder / f"{product}_20251224.json"
    path.write_text(json.dumps({"_cached_at": 1.5, "data": json.loads(path.read_text())}))


TODAY, EVE = "20251224SRS.txt", "20251223events.txt"
CASES = {
    "nothing amiss": (lambda f: None, []),
    "no summary of the day": (lambda f: _remove(f, TODAY), ["no readable SRS of 2025-12-24"]),
    "torn summary": (lambda f: _tear(f, TODAY), [f"not used: {TODAY}"]),
    "stale summary": (
        lambda f: _remove(f, TODAY, "20251223SRS.txt", "solar_regions*"),
        ["stale: no readable SRS of 2025-12-24"],
    ),
    "no events": (lambda f: _remove(f, EVE), ["no events list of 2025-12-23: flares are those of"]),
    "torn events": (lambda f: _tear(f, EVE), [f"not used: {EVE}"]),
    "no events, no services": (
        lambda f: _remove(f, EVE, "xray*", "*SGAS*"),
        ["activity level, flares and R scale are not known"],
    ),
    "torn SGAS": (lambda f: _tear(f, "*20251224SGAS.txt"), ["not used: 20251224SGAS.txt"]),
    "torn discussion": (lambda f: _tear(f, "*20251224discussion.txt"), ["not used: 20251224discussion.txt"]),
    "torn services": (lambda f: _tear(f, "*.json"), ["not used: planetary_kp_20251224.json", "f107_flux"]),
    "stale services": (
        lambda f: [_age(f, p) for p in ("planetary_kp", "xray_flares", "xray_flux", "f107_flux", "solar_regions")],
        ["stale: planetary Kp", "stale: X-ray flares", "stale: X-ray flux", "stale: F10.7", "stale: solar regions"],
    ),
    "new shape": (lambda f: [_wrap(f, p) for p in ("planetary_kp", "solar_regions", "xray_flares")], []),
    "torn page": (lambda f: (f / "solarmonitor_20251224.html").write_text("<html>"), ["solarmonitor_20251224.html"]),
    "torn image": (lambda f: _tear(f, "disk.fits"), ["image not shown"]),
    "no services at all": (lambda f: _remove(f, "*.json", "*.html", "*SGAS*", "*discussion*"), ["not given: "]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_report_comes_out_and_its_banner_says_what_is_wrong(day, tmp_path, name):
    change, said = CASES[name]
    change(day)
    assert report_agent.main([DAY, "--swpc-dir", str(day), "--out", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / DAY
    made = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    banner = " ".join(made["warnings"])
    assert [words for words in said if words not in banner] == [], banner
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert ('class="notice"' in page) == bool(made["warnings"])
    jsonschema.validate(made, SCHEMA)
    assert report.check(folder) == []
    steps = json.loads((folder / "transcript.json").read_text(encoding="utf-8"))["steps"]
    for step in steps:
        assert isinstance(step["seconds"], float)
        assert (step["tokens_in"], step["tokens_out"]) == (0, 0)
        assert step["inputs"] or step["state"] == "skipped"
        assert step["outputs"]


def test_new_and_old_shape_give_the_same_report(day, tmp_path):
    made = []
    for shape in ("old", "new"):
        _ = (
            [_wrap(day, p) for p in ("planetary_kp", "solar_regions", "xray_flares", "f107_flux")]
            if shape == "new"
            else 0
        )
        folder, _ = report_agent.make_report(DAY, day, tmp_path / shape)
        made.append(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    differing = [key for key in made[0] if made[0][key] != made[1][key]]
    assert differing == ["sources"]  # hashes of the files themselves


def test_service_down_is_exit_0_and_a_banner(day, tmp_path, monkeypatch):
    down = {name: f"http://127.0.0.1:9/{name}" for name in swpc_web.ADDRESSES}
    monkeypatch.setattr(swpc_web, "ADDRESSES", down)
    monkeypatch.setattr(swpc_web.acquire, "__defaults__", (None, frozenset({"127.0.0.1"})))
    out = tmp_path / "out"
    assert report_agent.main([DAY, "--swpc-dir", str(day), "--out", str(out), "--web"]) == 0
    made = json.loads((out / DAY / "report.json").read_text(encoding="utf-8"))
    assert made["warnings"][0].startswith("not fetched: SRS, events, SGAS")
    steps = json.loads((out / DAY / "transcript.json").read_text(encoding="utf-8"))["steps"]
    assert steps[0]["name"] == "acquire"
    assert steps[0]["state"] == "done"
    assert steps[0]["inputs"]["addresses"] == down
    assert "did not answer" in steps[0]["outputs"]["SRS"]


def test_all_missing_is_one_clear_line_of_the_command(tmp_path):
    command = [sys.executable, "-m", "jwvl_lib.report_agent", DAY, "--swpc-dir", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "no SRS issued on 2025-12-24" in line


def test_only_torn_files_is_one_clear_line_too(day, tmp_path, caplog):
    _remove(day, "*SGAS*", "*discussion*", "*.json", "*.html")
    _tear(day, "*.txt")
    assert report_agent.main([DAY, "--swpc-dir", str(day), "--out", str(tmp_path / "out")]) == 1
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert "no readable SRS" in errors[0]
    assert "\n" not in errors[0]
