"""performance: records that cannot contradict the bars, tables that say "not measured", slopes, extrapolation."""

import json
import math
import os
import re
import subprocess

import pytest
from matplotlib.figure import Figure

from jwvl_lib import artifacts, performance, performance_figures, performance_growth

HEAVY = artifacts.REPO / "tests" / "heavy"


def grown(row, cost, memory=lambda n: n / 1000, sizes=(100, 1000, 10_000)):
    points = [{"n": n, "cpu_s": cost(n), "peak_mib": memory(n)} for n in sizes]
    return {"row": row, "value": performance_growth.slope(points), "bar": 1.1, "n": sizes[-1], "points": points}


@pytest.fixture
def doc(tmp_path):
    """A document of a speed row that holds, one that falls short, a growth row and a faults suite."""
    folder = tmp_path / "records"
    performance.write_record(folder, "srs_speed", 80.0, 50, 5, pairs=[70, 80, 90, 80, 85], peer="sunpy 7")
    performance.write_record(folder, "render_speed", 7.0, 8, 5, pairs=[6, 7, 8, 7, 7])
    points = grown("growth_index", lambda n: 2e-5 * n, lambda n: n / 100)["points"]
    performance.write_record(folder, "growth_index", 1.0, 1.1, 10_000, points=points)
    rows = [
        {"fault": "SIGKILL", "stage": s, "n": 10, "survived": 10, "lost": 0, "doubled": 0, "silent": 0} for s in "ab"
    ]
    artifacts.write_json(folder / "faults.json", {"rows": rows, "seconds": 600, "date": "2026-01-01"})
    return performance.gather(folder)


def test_every_row_has_words_and_a_bar_that_can_be_judged():
    for name, row in performance.rows().items():
        assert row["what"], name
        assert set(row) <= {"issue", "what", "sense", "bar", "unit", "peer", "absent"}, name
        assert ("bar" in row) == ("sense" in row), name
        assert row.get("sense", ">=") in (">=", "<="), name


def test_the_notebook_keeps_the_number_of_the_rows():
    """The kept output of notebook 08 is compared under nbval only, which runs long after a row was added."""
    cells = json.loads((artifacts.REPO / "notebooks" / "08_performance.ipynb").read_text(encoding="utf-8"))["cells"]
    kept = next("".join(c["outputs"][0]["text"]) for c in cells if c["id"] == "perf-contract-1")
    assert json.loads(kept)["n_rows"] == len(performance.rows())


def test_every_row_that_nothing_explains_is_left_by_a_test_or_by_the_run():
    code = "\n".join(p.read_text(encoding="utf-8") for p in HEAVY.glob("*.py"))
    left = set(re.findall(r'"([a-z0-9_]+)"', code)) | {*performance.OF_METRICS, *performance.OF_SOLAR_TASKS}
    left |= {"chain", "chain_share", "faults", "faults_seconds"}
    left |= {f"growth_{name}" for name in (*left, "index", "dedup", "split", "table")}
    left |= {
        f"train_{n}_{tower}{more}" for n in (36, 400, 784) for tower in ("frozen", "trained") for more in ("", "_cache")
    }
    left |= {"answer_base", "answer_tuned"}
    assert [name for name, row in performance.rows().items() if "absent" not in row and name not in left] == []


def test_a_record_must_speak_of_the_bar_of_the_list(tmp_path):
    with pytest.raises(ValueError, match="srs_speed: bar 40"):
        performance.write_record(tmp_path, "srs_speed", 80, 40, 5)
    with pytest.raises(KeyError, match="no row 'srs'"):
        performance.write_record(tmp_path, "srs", 80, 50, 5)
    made = json.loads(performance.write_record(tmp_path, "srs_speed", 80, 50, 5, pairs=[1, 2]).read_text())
    assert {"cpu", "cores", "python", "packages"} <= set(made["machine"])
    assert made["created_utc"]
    assert made["profile"] == "tiny"


def test_without_records_every_row_reads_not_measured(tmp_path):
    table = performance.bars_table(performance.load(tmp_path / "none.json"))
    assert set(table["holds"]) == {"not measured"}
    assert set(table["figure"]) == {"not measured"}
    assert len(table) == len(performance.rows())
    assert set(performance.gpu_table(tmp_path / "none.json")["utilisation"]) == {"not measured"}


def test_the_table_says_what_holds_and_what_falls_short(doc):
    table = performance.bars_table(doc).set_index("row")
    assert table.loc["srs_speed", ["figure", "holds", "n"]].tolist() == ["80 times", "yes", 5]
    assert table.loc["render_speed", "holds"] == "no"
    assert table.loc["faults", ["holds", "n"]].tolist() == ["yes", 20]
    assert table.loc["faults_seconds", "holds"] == "yes"
    assert table.loc["gpu_utilisation", "note"] == "no GPU"
    speed = performance.speed_table(doc).set_index("row")
    assert speed.loc["srs_speed", ["median", "least", "most"]].tolist() == [80, 70, 90]
    assert math.isnan(speed.loc["train_swift", "median"])


@pytest.mark.parametrize(("power", "steep"), [(1, 1.0), (1.3, 1.3), (2, 2.0)])
def test_the_slope_is_that_of_the_cost(power, steep):
    assert grown("growth_index", lambda n: 1e-6 * n**power)["value"] == pytest.approx(steep)


def test_a_fixed_cost_does_not_hide_a_bend_at_the_end():
    assert grown("growth_index", lambda n: 1.0 + 1e-9 * n**2, sizes=(100, 10_000, 100_000))["value"] > 0.95
    straight = [{"n": n, "cpu_s": 1 + n / 1000} for n in (100, 1000, 10_000)]
    assert performance_growth.slope(straight) < 1


def test_ten_million_images_follow_from_the_last_points(doc):
    row = performance_growth.on_paper(doc, 1e7, node_gib=64).iloc[0]
    assert row.core_hours == pytest.approx(2e-5 * 1e7 / 3600)
    assert row.memory_gib == pytest.approx(1e7 / 100 / 1024, rel=0.01)
    assert (row.breaks, row.workers_for_a_day) == ("memory", 1)
    assert performance_growth.on_paper(doc, 1e7, node_gib=200).iloc[0].breaks == ""


def test_a_stage_above_a_third_owes_a_reason():
    table = performance.chain_table({"04_training": 70.0, "05_benchmark": 30.0}, {})
    assert table["reason"].tolist() == ["no reason given", ""]
    assert (
        performance.chain_table({"04_training": 70.0, "05_benchmark": 30.0}, {"04_training": "why"})["reason"][0]
        == "why"
    )


def test_a_torn_record_is_named(tmp_path):
    (tmp_path / "day.json").write_text('{"row": "da')
    with pytest.raises(ValueError, match="day.json is no record"):
        performance.gather(tmp_path)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (None, "no folder of records"),
        ({}, "holds no record"),
        ({"faults.json": "{}"}, "holds no record"),
        ({"day.json": '{"row": "da'}, "day.json is no record"),
        ({"day.json": "[]"}, "day.json is no record"),
        ({"day.json": '{"machines": []}'}, "day.json is no record"),
    ],
)
def test_a_folder_without_records_overwrites_nothing(tmp_path, capsys, made, says):
    out, folder = tmp_path / "performance.json", tmp_path / "records"
    out.write_text("kept")
    for name, text in (made or {}).items():
        artifacts.write_text(folder / name, text)
    if made is not None:
        folder.mkdir(exist_ok=True)
    assert performance.main([str(folder), "--out", str(out)]) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert (told.err.count("\n"), told.out, out.read_text()) == (1, "", "kept")


def test_a_run_that_is_not_there_overwrites_nothing(doc, tmp_path, capsys):
    arguments = [str(tmp_path / "records"), "--out", str(tmp_path / "o.json")]
    assert performance.main([*arguments, "--run", str(tmp_path / "none")]) == 2
    assert "none is no folder of a run" in capsys.readouterr().err
    assert not (tmp_path / "o.json").exists()
    assert performance.main(arguments) == 0
    assert "5 of" in capsys.readouterr().out
    assert performance.load(tmp_path / "o.json")["records"] == doc["records"]


def test_the_committed_figures_are_of_known_rows_and_bars():
    doc = performance.load()
    assert doc["records"], "docs/performance.json holds the figures of a run"
    for made in doc["records"]:
        if not made["row"].startswith("limit_"):
            assert made["bar"] == performance.rows()[made["row"]].get("bar"), made["row"]
        assert made["n"] > 0
        assert 0 <= made["machine"] < len(doc["machines"])


def test_figures_are_drawn_of_what_there_is_and_of_nothing(doc, tmp_path):
    for one in (doc, performance.load(tmp_path / "none.json")):
        ax = Figure().add_subplot()
        performance_figures.plot_speed(ax, performance.speed_table(one))
        assert sum("not measured" in t.get_text() for t in ax.texts) >= 10
    values = {name: made["value"] for name, made in performance.by_row(doc).items()}
    ax = performance_figures.plot_margins(
        Figure().add_subplot(), performance.bars_table(doc), performance.rows(), values
    )
    assert {"Solar Region Summary to table", "faults suite: lost, doubled or silent"} <= {
        t.get_text() for t in ax.get_yticklabels()
    }
    assert len(performance_figures.growth(performance_growth.growth_table(doc)).axes) == 4
    faults = performance.faults_table(doc)
    ax = performance_figures.plot_faults(Figure().add_subplot(), faults["fault"], faults["n"], faults["wrong"])
    assert "20 tried, 0 wrong" in {t.get_text() for t in ax.texts}


def test_make_performance_measures_one_thing_after_another_where_the_runs_are(tmp_path):
    """Also under `make -j`, with runs elsewhere, and whether or not there is an environment or a peer already."""
    environment = os.environ | {"JWVL_OUTPUTS": f"{tmp_path}/my runs", "MAKEFLAGS": "-j4"}
    environment.pop("JWVL_PEERS_PYTHON", None)
    told = subprocess.run(
        ["make", "-n", "performance", f"VENV={tmp_path}/venv"],
        cwd=artifacts.REPO, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    steps = ["pip install", "--to 07", "trl==", "--ignore=tests/heavy/test_real_images.py", "-s tests/heavy/test_real"]
    places = [told.index(step) for step in [*steps, "tests/faults", "--from 08 --to 08"]]
    assert places == sorted(places)
    assert told.count(f'JWVL_RECORDS="{tmp_path}/my runs/performance/records"') == 3
    assert f'JWVL_TESTED_RUN="{tmp_path}/my runs/performance"' in told
    assert f'records_dir "{tmp_path}/my runs/performance/records"' in told
