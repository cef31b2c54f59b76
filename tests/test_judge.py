"""judge: scripted judges behind a real local endpoint; each bias is exposed, none is averaged as a mark."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from jwvl_lib import bench, bench_table, judge, judge_report
from jwvl_lib.facts import Fact
from jwvl_lib.teacher_client import TeacherError

COLOURS = "red blue green gold grey pink teal plum".split()


def alike(a, b):
    a, b = set(a.split()), set(b.split())
    return len(a & b) / len(a | b)


def fair(given, n):
    if "answer" in given:
        mark = round(100 * alike(given["answer"], given["reference"]))
        return {name: mark for name in judge.CRITERIA}
    a, b = (alike(given[name], given["reference"]) for name in "AB")
    return {"better": "tie" if a == b else "A" if a > b else "B"}


def first_wins(given, n):
    return fair(given, n) if "answer" in given else {"better": "A"}


def longer_wins(given, n):
    if "answer" in given:
        return {name: min(100, len(given["answer"])) for name in judge.CRITERIA}
    return {"better": "A" if len(given["A"]) > len(given["B"]) else "B"}


def generous(given, n):
    return {name: 90 for name in judge.CRITERIA} if "answer" in given else {"better": "tie"}


def whimsical(given, n):
    heads = hashlib.sha256(json.dumps(given).encode()).digest()[0] % 2
    return fair(given, n) if "answer" in given else {"better": "AB"[heads]}


def babbling(given, n):
    return "I would say about -1 of 10."


def out_of_scale(given, n):
    return {name: -1 for name in judge.CRITERIA} if "answer" in given else fair(given, n)


def stutters(given, n, heard=set()):  # noqa: B006, it must remember
    """Babbles at whatever it hears for the first time."""
    new = str(given) not in heard
    heard.add(str(given))
    return "well..." if new else {**fair(given, n), "reason": "second thoughts"}


SCRIPTS = {
    f.__name__: f for f in (fair, first_wins, longer_wins, generous, whimsical, babbling, out_of_scale, stutters)
}


@pytest.fixture(scope="module")
def server():
    class Handler(BaseHTTPRequestHandler):
        n = 0

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            Handler.n += 1
            if body["model"] not in SCRIPTS:
                return self.reply(404, {"error": {"message": "no such model"}})
            said = SCRIPTS[body["model"]](json.loads(body["messages"][1]["content"]), Handler.n)
            text = said if isinstance(said, str) else f"<think>hm</think>```json\n{json.dumps(said)}\n```"
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            return self.reply(
                200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            )

        def reply(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/v1", Handler
    http.shutdown()


@pytest.fixture(scope="module")
def items():
    rows = []
    for k, colour in enumerate(COLOURS):
        truth = f"A {colour} filament crosses the {'north' if k % 2 else 'south'} of the disk."
        row = {"item_id": f"item-{k}", "group_id": f"day-{k // 2}", "task": "ocr" if k > 5 else "qa", "language": "en"}
        row |= {"question": "What crosses the disk?", "target": truth, "facts": f"filament: {colour}"}
        rows.append(row | {"base": "Nothing is seen here.", "tuned": truth.replace("crosses", "lies across")})
    return pd.DataFrame(rows)


def ask(server, items, tmp_path, *judges, repeats=2):
    trials = judge.plan(items, judges, repeats=repeats, n_controls=4)
    return judge.run(trials, tmp_path / "judge.sqlite", base_url=server[0], first_wait_s=0.001)


def test_every_duel_is_put_in_both_orders_and_repeated(items):
    trials = judge.plan(items, ["fair"], repeats=2, n_controls=4)
    duels = [t for t in trials if t.kind == "pair"]
    assert len(duels) == (8 + 2 * 4) * 2 * 2
    assert sum(t.first for t in duels) == len(duels) / 2
    assert len({t.request.key for t in trials}) == len(trials)


def test_a_fair_judge_is_believed_and_prefers_the_better_model(server, items, tmp_path):
    judged = ask(server, items, tmp_path, "fair", "stutters")
    found = judge_report.quality(judged).set_index("judge")
    assert found.exposed.to_dict() == {"fair": "", "stutters": ""}
    assert found.flip_rate["fair"] == 0
    records = judge_report.records(judged, group="simulated", n_resamples=100)
    score = {(r["task"], r["model"]): r for r in records if r["metric"] == "judge_score"}
    assert set(score) == {(t, m) for t in judge_report.TASKS for m in ("base", "tuned")}
    assert score["overall", "tuned"]["value"] > score["overall", "base"]["value"] + 30
    assert score["overall", "tuned"]["n"] == score["ocr", "tuned"]["n"] + score["interpretation_qa", "tuned"]["n"] == 8
    assert score["overall", "tuned"]["difference_low"] > 0
    agreement = next(r for r in records if r["metric"] == "spearman")
    assert (agreement["value"], agreement["n"]) == (pytest.approx(1), 16)


@pytest.mark.parametrize(
    ("script", "measure"),
    [
        ("first_wins", "flip_rate"),
        ("longer_wins", "control_padded"),
        ("generous", "control_mark_gap"),
        ("whimsical", "flip_rate"),
        ("babbling", "malformed_rate"),
        ("out_of_scale", "malformed_rate"),
    ],
)
def test_a_biased_judge_is_exposed(server, items, tmp_path, script, measure):
    judged = ask(server, items, tmp_path, script, repeats=1)
    found = judge_report.quality(judged).iloc[0]
    assert measure in found.exposed
    if script == "first_wins":
        assert found.first_rate == 1
        assert found.flip_rate == 1
    records = judge_report.records(judged, group="simulated", n_resamples=50)
    scores = [r for r in records if r["metric"] == "judge_score"]
    assert all("not to be believed" in r["reading"] and script in r["reading"] for r in scores)
    assert any(r["reading"] == "exposed" and r["metric"] == measure for r in records if r.get("section") == "judge")


def of_judge(records):
    """The records of the judges themselves by (judge, measure)."""
    return {(r["profile"], r["metric"]): r for r in records if r.get("section") == "judge"}


def test_a_measure_of_a_judge_stands_with_its_own_n(server, items, tmp_path):
    """Eight items, four of them with controls, everything asked twice: 56 marks and 64 comparisons."""
    judged = ask(server, items, tmp_path, "fair")
    found = of_judge(judge_report.records(judged, group="simulated", n_resamples=50))
    n = {name: found["fair", name]["n"] for name in (*judge_report.LIMITS, "first_rate")}
    assert n == {
        "flip_rate": 8, "repeat_change": 8 * 2 + 4 * 2 * 2, "malformed_rate": 56 + 64,
        "control_other": 4, "control_padded": 4, "control_mark_gap": 4, "first_rate": (8 + 4 * 2) * 2 * 2,
    }  # fmt: skip


def test_equal_answers_are_no_pair_and_are_counted(server, items, tmp_path):
    """Both orders of two equal texts are one request: the answer "A" to it would look like a flip."""
    alike = items.assign(base=[t if k < 6 else b for k, (t, b) in enumerate(zip(items.tuned, items.base, strict=True))])
    judged = ask(server, alike, tmp_path, "longer_wins")
    own = judged[(judged.kind == "pair") & (judged.candidate == "base")]
    assert set(own.item_id) == {"item-6", "item-7"}
    found = of_judge(judge_report.records(judged, group="simulated", n_resamples=50))["longer_wins", "flip_rate"]
    assert (found["value"], found["n"]) == (0, 2)
    assert found["reading"] == "within its limit; 6 items left out: both answers are the same"


def test_where_nothing_was_put_twice_or_against_another_nothing_is_measured(server, items, tmp_path):
    once = ask(server, items, tmp_path, "fair", repeats=1)
    repeated = of_judge(judge_report.records(once, group="simulated", n_resamples=50))["fair", "repeat_change"]
    assert (repeated["value"], repeated["n"], repeated["reason"]) == (None, 0, "nothing to measure")
    assert judge_report.quality(once).exposed[0] == "repeat_change"
    same = ask(server, items.head(1).assign(base=items.tuned), tmp_path, "fair")
    assert set(same.kind) == {"mark"}
    found = of_judge(judge_report.records(same, group="simulated", n_resamples=50))
    assert {name for (_, name), r in found.items() if r["value"] is not None} == {"malformed_rate"}


def test_malformed_replies_are_retried_then_counted_and_never_averaged(server, items, tmp_path):
    server[1].n = 0
    judged = ask(server, items.head(2), tmp_path, "out_of_scale", repeats=1)
    records = judge_report.records(judged, group="simulated", n_resamples=50)
    score = next(
        r for r in records if r["metric"] == "judge_score" and r["model"] == "tuned" and r["task"] == "overall"
    )
    assert (score["value"], score["n"], score["n_failed"], score["reason"]) == (None, 0, 2, "no valid mark")
    assert judged.score.isna().all()
    n_marks = (judged.kind == "mark").sum()
    assert server[1].n == 4 * n_marks + (judged.kind == "pair").sum()


def test_what_the_ledger_holds_is_not_sent_again(server, items, tmp_path):
    first = ask(server, items, tmp_path, "fair", repeats=1)
    before = server[1].n
    assert ask(server, items, tmp_path, "fair", repeats=1).equals(first)
    assert server[1].n == before


def test_people_beside_the_judge_and_one_judge_alone(server, items, tmp_path):
    judged = ask(server, items, tmp_path, "fair", repeats=1)
    human = judge_report.item_marks(judged)[["item_id", "candidate", "score"]].rename(columns={"score": "mark"})
    records = judge_report.records(judged, group="simulated", human=human, n_resamples=50)
    people = next(r for r in records if r["metric"] == "spearman_with_people")
    assert (people["value"], people["n"]) == (pytest.approx(1), 16)
    alone = next(r for r in records if r["metric"] == "spearman")
    assert alone["value"] is None
    assert alone["reason"] == "one judge model: agreement not measured"


def test_the_benchmarks_answers_go_to_the_judges_and_fill_its_empty_rows(server, tmp_path):
    rows = []
    for k in range(24):
        truth = f"A {COLOURS[k % 8]} filament lies at {k} degrees."
        row = {"annotation_id": f"a{k:02d}", "image_id": f"image-{k}", "task": ("qa", "ocr")[k % 2]}
        row |= {
            "prompt_id": "qa.p",
            "language": "en",
            "split": "test",
            "simulated": k < 16,
            "group_id": f"day-{k}",
            "question": "What?",
        }
        row |= {"target": truth, "choices": "[]", "choice": "", "correct": None, "choice_correct": None}
        rows += [row | {"model": m, "prediction": p} for m, p in (("base", "None."), ("tuned", truth))]
    facts = {f"image-{k}": [Fact("observatory", "SDO")] for k in range(24)}
    scores = bench.score(pd.DataFrame(rows), facts)
    asked = judge_report.asked(scores, facts, n=3)
    assert asked.groupby(["where", "task"]).size().to_dict() == {
        ("real", "ocr"): 3, ("real", "qa"): 3, ("simulated", "ocr"): 3, ("simulated", "qa"): 3,
    }  # fmt: skip
    assert set(asked.facts) == {"observatory: SDO"}
    before = bench.metrics_records(scores, run_profile="tiny", n_bootstrap=20)
    judged = ask(server, asked, tmp_path, *judge_report.names("fair, first_wins, fair"), repeats=1)
    after = judge_report.instead(before, judged, asked, None, n_resamples=50)
    won = bench.find(after, metric="judge_score", task="overall", group="simulated", model="tuned")
    assert (won["value"], won["n"], won["difference"] > 50) == (100, 6, True)
    assert "first_wins: flip_rate" in won["reading"]
    assert won["difference_n"] == 6
    lines = bench_table.table_md([r | {"run_profile": "tiny"} for r in after]).splitlines()
    marked = [line for line in lines if "judge_score @ judge" in line]
    assert len(marked) == 6
    assert all("not to be believed:" in line and "first_wins: flip_rate" in line for line in marked)
    assert len([r for r in before if r["metric"] == "judge_score"]) == 12
    assert all(r["value"] is not None for r in after if r["metric"] == "judge_score" and r["task"] == "overall")
    with pytest.raises(ValueError, match="judge_model is empty: name a model"):
        judge_report.names(" , ")


def test_a_wrong_address_is_said_at_once(server, items, tmp_path):
    with pytest.raises(TeacherError, match="HTTP 404; check judge_base_url, judge_model"):
        ask(server, items.head(1), tmp_path, "nobody", repeats=1)
