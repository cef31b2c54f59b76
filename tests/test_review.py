"""Review: the ledger against a reference model, several and killed writers, policies, agreement, the accepted table."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwvl_lib import agreement, artifacts, review, review_leases, review_ledger
from jwvl_lib.review_ledger import Decision


def make_annotations(n: int = 12) -> pd.DataFrame:
    """Annotations in the columns of 02; claims supported, except a contradicted, an unsupported and an absent one."""
    marks = {1: ["supported", "contradicted"], 2: ["unsupported"], 3: []}
    rows = [
        {
            **{"annotation_id": f"a{i:05d}", "image_id": f"img{i // 4}", "task": "qa", "language": "en"},
            **{"question": f"Question {i}?", "answer": f"Answer {i}", "steps": '["look"]', "prompt_id": f"qa.p{i % 2}"},
            **{"prompt_version": "1", "teacher": "simulated", "round": 0},
            "claims": json.dumps([{"text": "t", "verdict": m} for m in marks.get(i, ["supported"])]),
            "choices": '["yes", "no"]' if i == 4 else "[]",
        }
        for i in range(n)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def annotations():
    return make_annotations()


@pytest.fixture
def ledger(tmp_path):
    return review_ledger.open_ledger(tmp_path / "review.sqlite")


def decide(ledger, annotations, *decisions):
    return review_ledger.append(ledger, decisions, annotations, client="panel")


# --------------------------------------------------------------------------------------------------------------------
# the ledger

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a disk's fsync would cost most of the time
REVIEWERS = ("li.wei", "m.okafor")
IDS = ("a00000", "a00001")
acts = st.lists(
    st.tuples(
        st.sampled_from(REVIEWERS),
        st.sampled_from(IDS),
        st.sampled_from(["accept", "reject", "skip", "flag", "undo", "undo last"]),
    ),
    max_size=10,
)


@settings(max_examples=25, deadline=None)
@given(acts=acts)
def test_any_sequence_of_events_gives_the_state_of_a_stack_per_reviewer(acts):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        check_against_model(review_ledger.open_ledger(Path(folder) / "review.sqlite"), acts)


def check_against_model(ledger, acts):
    annotations = make_annotations(2)
    model = {reviewer: [] for reviewer in REVIEWERS}  # what each decided and has not taken back, oldest first
    n_events = 0
    for reviewer, key, act in acts:
        if act.startswith("undo"):
            candidates = [d for d in model[reviewer] if act == "undo last" or d[0] == key]
            undone = review_ledger.undo(ledger, reviewer, None if act == "undo last" else key)
            assert undone == (candidates[-1][0] if candidates else None)
            if candidates:
                last = max(i for i, d in enumerate(model[reviewer]) if d is candidates[-1])
                del model[reviewer][last]
                n_events += 1
        else:
            reasons = ("domain_error",) if act == "reject" else ()
            decide(ledger, annotations, Decision(key, reviewer, act, reasons))
            model[reviewer].append([key, act])
            n_events += 1
    expected = {(reviewer, key): verdict for reviewer, stack in model.items() for key, verdict in stack}
    assert found_in(ledger, annotations) == expected
    by_person = review_ledger.persons_verdicts(ledger, annotations)
    assert {(name, key): v for key, votes in by_person.items() for name, v in votes.items()} == expected
    assert len(review_ledger.events(ledger)) == n_events
    again = ledger.with_name("again.sqlite")
    review.rebuild(review.export_events(ledger, ledger.with_suffix(".jsonl")), again)
    assert review_ledger.events(again).equals(review_ledger.events(ledger))
    assert found_in(again, annotations) == expected


def found_in(ledger, annotations):
    state = review_ledger.current(ledger, annotations)
    return dict(zip(zip(state["reviewer"], state["annotation_id"], strict=True), state["verdict"], strict=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verdict": "maybe"}, "verdict 'maybe' is not known"),
        ({"verdict": "undo"}, "verdict 'undo' is not known"),
        ({"verdict": "reject"}, "a rejection needs a reason"),
        ({"verdict": "reject", "reasons": ("ugly",)}, "reason 'ugly' is not known"),
        ({"verdict": "accept", "reasons": ("domain_error",)}, "only a rejection has reasons"),
        ({"verdict": "skip", "edit_text": "x"}, "goes with verdict 'accept'"),
        ({"verdict": "accept", "edit_text": " "}, "must not be empty"),
        ({"verdict": "accept", "seconds": float("nan")}, "no duration"),
        ({"verdict": "accept", "reviewer": " "}, "has no name"),
        ({"verdict": "accept", "comment": "\ud83d"}, "half a character"),
        ({"verdict": "accept", "edit_text": "Mended \udc00"}, "half a character"),
    ],
)
def test_a_malformed_decision_is_refused_in_one_clear_line(fields, message):
    with pytest.raises(ValueError, match=message) as error:
        Decision(**({"annotation_id": "a1", "reviewer": "li.wei"} | fields))
    assert "\n" not in str(error.value)


def test_nothing_is_recorded_when_one_decision_of_several_cannot_be(ledger, annotations):
    with pytest.raises(ValueError, match="'nowhere' is not in this run"):
        decide(ledger, annotations, Decision("a00000", "li.wei", "accept"), Decision("nowhere", "li.wei", "accept"))
    with pytest.raises(ValueError, match="none of the choices; use one of yes / no"):
        decide(ledger, annotations, Decision("a00004", "li.wei", "accept", edit_text="perhaps"))
    assert review_ledger.events(ledger).empty


def test_no_event_can_be_changed_or_deleted(ledger, annotations):
    decide(ledger, annotations, Decision("a00000", "li.wei", "accept"))
    with sqlite3.connect(ledger) as db:
        for statement in ("UPDATE review_event SET verdict = 'reject'", "DELETE FROM review_event"):
            with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                db.execute(statement)
    db.close()


def test_a_decision_records_its_provenance(ledger, annotations):
    decide(ledger, annotations, Decision("a00001", "li.wei", "reject", ("ocr_error",), "blurred", seconds=4.5))
    decide(ledger, annotations, Decision("a00001", "li.wei", "accept", edit_text="Answer, mended"))
    review_ledger.undo(ledger, "li.wei")
    first, second, third = review_ledger.events(ledger).to_dict("records")
    assert [first[n] for n in ("prompt_id", "prompt_version", "teacher", "comment")] == [
        "qa.p1",
        "1",
        "simulated",
        "blurred",
    ]
    assert json.loads(first["reasons"]) == ["ocr_error"]
    assert first["annotation_sha256"] == review_ledger.annotation_sha256(annotations.iloc[1])
    assert (second["supersedes"], second["edit_text"]) == (first["id"], "Answer, mended")
    assert (third["verdict"], third["supersedes"]) == ("undo", second["id"])


def test_a_decision_does_not_pass_on_to_another_text(ledger, annotations):
    decide(ledger, annotations, Decision("a00000", "li.wei", "accept"))
    annotations.loc[0, "answer"] = "Another answer"
    assert review_ledger.current(ledger, annotations).empty
    assert review.accepted(ledger, annotations).empty


def test_opening_and_reading_an_existing_ledger_changes_no_byte_of_it(ledger, annotations):
    decide(ledger, annotations, Decision("a00000", "li.wei", "accept"))
    before = artifacts.sha256(ledger)
    review_ledger.open_ledger(ledger)
    review.queue(ledger, annotations, "li.wei", 0.5, 0)
    assert artifacts.sha256(ledger) == before
    assert [p.name for p in ledger.parent.iterdir()] == ["review.sqlite"]


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "review.sqlite").write_text("not a database, but a letter of some length to the editor " * 20)
    with pytest.raises(ValueError, match="is no review ledger"):
        review_ledger.open_ledger(tmp_path / "review.sqlite")


def test_a_ledger_replayed_gives_the_same_bytes_of_the_accepted_table(ledger, annotations, tmp_path):
    review.apply_policy(ledger, annotations, "sample:25", seed=0)
    decide(ledger, annotations, Decision("a00001", "li.wei", "accept", edit_text="Mended <b> \u202e\u2028 日面"))
    decide(ledger, annotations, Decision("a00002", "李伟", "reject", ("ocr_error",), "line\nbreak"))
    review_ledger.undo(ledger, "李伟")
    again = tmp_path / "again.sqlite"
    n = review.rebuild(review.export_events(ledger, tmp_path / "events.jsonl"), again)
    assert n == len(review_ledger.events(ledger))
    hashes = {
        artifacts.sha256(artifacts.write_parquet(tmp_path / "accepted.parquet", review.accepted(source, annotations)))
        for source in (ledger, again)
    }
    assert len(hashes) == 1
    with pytest.raises(ValueError, match="has events already"):
        review.rebuild(tmp_path / "events.jsonl", again)
    (tmp_path / "events.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(ValueError, match="line 1 is no event"):
        review.rebuild(tmp_path / "events.jsonl", tmp_path / "third.sqlite")


def exported(ledger, annotations, folder):
    for key in ("a00000", "a00001"):
        decide(ledger, annotations, Decision(key, "li.wei", "accept", comment="日面"))
    return review.export_events(ledger, folder / "events.jsonl")


def test_an_export_without_its_last_line_end_is_whole(ledger, annotations, tmp_path):
    export = exported(ledger, annotations, tmp_path)
    export.write_bytes(export.read_bytes().removesuffix(b"\n"))
    assert review.rebuild(export, tmp_path / "again.sqlite") == 2
    assert review_ledger.events(tmp_path / "again.sqlite").equals(review_ledger.events(ledger))


@pytest.mark.parametrize("damage", ["its brace", "half a character", "an empty line"])
def test_an_export_torn_in_its_second_line_is_refused(ledger, annotations, tmp_path, damage):
    export = exported(ledger, annotations, tmp_path)
    raw = export.read_bytes()
    end = {"its brace": len(raw) - 2, "half a character": raw.rindex("日面".encode()) + 1}.get(damage)
    export.write_bytes(raw[:end] if end else raw.replace(b"\n", b"\n\n"))
    with pytest.raises(ValueError, match="line 2 is no event.*export the ledger again") as error:
        review.rebuild(export, tmp_path / "again.sqlite")
    assert "events.jsonl" in str(error.value)


def test_events_without_an_edit_say_none_beside_one_with(ledger, annotations):
    """pandas 3 would make NaN of it, which is true."""
    decide(ledger, annotations, Decision("a00000", "li.wei", "accept", edit_text="Mended"))
    decide(ledger, annotations, Decision("a00001", "li.wei", "accept"))
    for frame in (review_ledger.events(ledger), review_ledger.current(ledger, annotations)):
        assert frame["edit_text"].tolist() == ["Mended", None]
    assert review.outcomes(ledger, annotations)["edit_text"].tolist() == ["Mended", *[None] * 11]


def test_folding_brings_a_sitting_into_the_one_file(ledger, annotations):
    sitting = review_ledger.hold_open(ledger)
    before = artifacts.sha256(ledger)
    decide(ledger, annotations, Decision("a00000", "li.wei", "accept"))
    assert artifacts.sha256(ledger) == before  # so far in the log beside it
    review_ledger.fold(ledger)
    assert artifacts.sha256(ledger) != before
    sitting.close()
    assert len(review_ledger.events(ledger)) == 1


WRITER = """
import sys, pandas as pd
from jwvl_lib import review_ledger
ledger, table, reviewer = sys.argv[1:]
annotations = pd.read_parquet(table)
print("ready", flush=True)
sys.stdin.readline()
for key in annotations["annotation_id"]:
    review_ledger.append(ledger, [review_ledger.Decision(key, reviewer, "accept")], annotations, client="panel")
    print(key, flush=True)
"""


def start_writer(ledger, reviewer):
    command = [sys.executable, "-c", WRITER, str(ledger), str(ledger.with_suffix(".parquet")), reviewer]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=artifacts.REPO)
    assert process.stdout.readline() == "ready\n"
    return process


def go(*writers):
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()


def test_two_processes_writing_at_once_lose_nothing(ledger):
    annotations = make_annotations(15)
    artifacts.write_parquet(ledger.with_suffix(".parquet"), annotations)
    writers = [start_writer(ledger, name) for name in REVIEWERS]
    go(*writers)
    assert [w.communicate(timeout=60) and w.returncode for w in writers] == [0, 0]
    state = review_ledger.current(ledger, annotations)
    assert state.groupby("reviewer").size().to_dict() == dict.fromkeys(REVIEWERS, 15)


def test_a_killed_writer_leaves_a_readable_ledger_with_all_it_had_confirmed(ledger):
    annotations = make_annotations(3000)
    artifacts.write_parquet(ledger.with_suffix(".parquet"), annotations)
    writer = start_writer(ledger, "li.wei")
    go(writer)
    confirmed = [writer.stdout.readline().strip() for _ in range(5)]
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.communicate()[0].split()
    state = review_ledger.current(ledger, annotations)
    assert set(confirmed) | {key for key in rest if len(key) == 6} <= set(state["annotation_id"])
    decide(ledger, annotations, Decision("a02999", "m.okafor", "accept"))
    with sqlite3.connect(ledger) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


# --------------------------------------------------------------------------------------------------------------------
# queue and leases


def test_leases_keep_two_people_apart_until_they_run_out(ledger, annotations):
    row = annotations.iloc[0]
    assert review_leases.take(ledger, row, "li.wei", now=1000)
    assert review_leases.take(ledger, row, "li.wei", now=1001)  # her own lease is renewed
    assert not review_leases.take(ledger, row, "m.okafor", now=1600)
    assert review_leases.take(ledger, row, "m.okafor", now=1602)
    review_leases.drop(ledger, "m.okafor")
    assert review_leases.take(ledger, row, "li.wei", now=1603)
    decide(ledger, annotations, Decision("a00000", "li.wei", "accept"))
    assert not review_leases.take(ledger, row, "m.okafor", now=9000)
    assert review_leases.take(ledger, row, "m.okafor", n_persons=2, now=9000)


def test_a_lease_of_a_clock_that_was_set_back_locks_nobody_out(ledger, annotations):
    row = annotations.to_dict("records")[0]
    assert review_leases.take(ledger, row, "li.wei", now=90_000)  # a clock a day ahead
    assert review_leases.n_with_others(ledger, "m.okafor", now=3_600) == 0
    assert review_leases.take(ledger, row, "m.okafor", now=3_600)
    assert not review_leases.take(ledger, row, "li.wei", now=3_700)


def test_a_killed_holders_lease_runs_out_and_others_are_counted_meanwhile(ledger, annotations):
    rows = annotations.set_index("annotation_id", drop=False).to_dict("index")
    waiting = deque((key, 1) for key in rows)
    assert review_leases.take_next(ledger, waiting, rows.get, "li.wei") == ("a00000", 1)
    again = deque((key, 1) for key in rows)
    assert review_leases.take_next(ledger, again, rows.get, "m.okafor") == ("a00001", 1)
    assert review_leases.n_with_others(ledger, "m.okafor") == 1
    later = time.time() + review_leases.LEASE_S + 1
    assert review_leases.n_with_others(ledger, "m.okafor", now=later) == 0
    assert review_leases.take(ledger, rows["a00000"], "m.okafor", now=later)
    only_hers = deque([("a00001", 1)])
    assert review_leases.take_next(ledger, only_hers, rows.get, "t.mori") is None


def test_the_queue_offers_the_undecided_first_and_second_opinions_last(ledger, annotations):
    review.apply_policy(ledger, annotations, "sample:25", seed=0)
    undecided = set(annotations["annotation_id"]) - set(review_ledger.current(ledger)["annotation_id"])
    order = [key for key, _ in review.queue(ledger, annotations, "li.wei", 0.25, 0)]
    assert set(order[: len(undecided)]) == undecided
    assert sorted(order) == sorted(annotations["annotation_id"])
    decide(ledger, annotations, *(Decision(key, "li.wei", "accept") for key in order))
    assert review.queue(ledger, annotations, "li.wei", 0.25, 0) == []
    second = review.queue(ledger, annotations, "m.okafor", 0.25, 0)
    assert {key for key, _ in second} == review.sampled(annotations["annotation_id"], 0.25, 0, "overlap")
    assert {needed for _, needed in second} == {2}


def test_a_flag_asks_for_a_second_person_and_a_skip_for_another(ledger, annotations):
    decide(ledger, annotations, *(Decision(k, "li.wei", "accept") for k in annotations["annotation_id"][2:]))
    decide(ledger, annotations, Decision("a00000", "li.wei", "flag"), Decision("a00001", "li.wei", "skip"))
    assert review.queue(ledger, annotations, "m.okafor", 0, 0) == [("a00001", 1), ("a00000", 2)]
    assert review.queue(ledger, annotations, "li.wei", 0, 0) == []


# --------------------------------------------------------------------------------------------------------------------
# policies and files


def test_the_policy_accepts_what_facts_support_and_signs_as_a_program(ledger, annotations):
    counts = review.apply_policy(ledger, annotations, "facts", seed=0)
    assert counts == {"accept": 9, "reject": 2, "left_to_person": 1, "appended": 11}
    state = review_ledger.current(ledger, annotations).set_index("annotation_id")
    assert set(state["reviewer"]) == {"auto:facts"}
    assert set(state["client"]) == {"policy"}
    assert json.loads(state.loc["a00001", "reasons"]) == ["contradicted"]
    assert json.loads(state.loc["a00002", "reasons"]) == ["unsupported"]
    assert "a00003" not in state.index  # no claims: nothing for a program to go by


def test_a_second_run_of_a_policy_appends_nothing_and_changes_no_byte(ledger, annotations):
    review.apply_policy(ledger, annotations, "facts", seed=0)
    before = artifacts.sha256(ledger)
    assert review.apply_policy(ledger, annotations, "facts", seed=0)["appended"] == 0
    assert artifacts.sha256(ledger) == before


def test_another_policy_takes_back_what_it_leaves_to_a_person(ledger, annotations, tmp_path):
    review.apply_policy(ledger, annotations, "facts", seed=0)
    review.apply_policy(ledger, annotations, "sample:50", seed=0)
    fresh = review_ledger.open_ledger(tmp_path / "fresh" / "review.sqlite")
    counts = review.apply_policy(fresh, annotations, "sample:50", seed=0)
    assert counts["left_to_person"] >= 6
    assert review.outcomes(ledger, annotations).equals(review.outcomes(fresh, annotations))


def test_policies_that_are_none_are_refused(ledger, annotations):
    for policy in ("everything", "sample", "sample:lots", "sample:101", "facts:5", ""):
        with pytest.raises(ValueError, match="use facts, none or sample:<percent>"):
            review.apply_policy(ledger, annotations, policy, seed=0)
    assert review.apply_policy(ledger, annotations, "none", seed=0)["left_to_person"] == len(annotations)


def test_nine_thousand_automatic_decisions_take_two_seconds_at_most(ledger):
    annotations = make_annotations(9000)
    start = time.process_time()
    counts = review.apply_policy(ledger, annotations, "facts", seed=0)
    assert counts["appended"] == 8999
    assert time.process_time() - start < 2


CSV = """annotation_id,reviewer,verdict,reasons,comment,seconds
a00000,li.wei,accept,,,3.5
a00001,li.wei,reject,domain_error; ocr_error,misread,
a00002,li.wei,perhaps,,,
missing,li.wei,accept,,,
a00005,auto:facts,accept,,,
a00006,m.okafor,reject,,,
a00007,m.okafor,accept,,,soon
"""


def test_a_file_of_decisions_is_replayed_once_and_its_bad_rows_are_named(ledger, annotations, tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text(CSV)
    n_recorded, refused = review.replay_file(ledger, annotations, path)
    assert n_recorded == 2
    assert refused["line"].tolist() == [4, 5, 6, 7, 8]
    assert review_ledger.current(ledger)["reviewer"].tolist() == ["li.wei", "li.wei"]
    decide(ledger, annotations, Decision("a00000", "li.wei", "flag"))
    assert review.replay_file(ledger, annotations, path)[0] == 0  # her later word stands
    assert review.outcomes(ledger, annotations)["verdict"][0] == "flag"


def test_jsonl_says_the_same_as_csv(ledger, annotations, tmp_path):
    rows = [{"annotation_id": "a00001", "reviewer": "李伟", "verdict": "reject", "reasons": ["domain_error"]}]
    path = tmp_path / "decisions.jsonl"
    path.write_text("\n".join([json.dumps(rows[0], ensure_ascii=False), "", "{torn", "[]"]), encoding="utf-8")
    n_recorded, refused = review.replay_file(ledger, annotations, path)
    assert (n_recorded, refused["line"].tolist()) == (1, [3, 4])
    assert review.outcomes(ledger, annotations).loc[1, "reviewer"] == "李伟"


def test_a_replay_after_an_edit_and_a_change_of_mind_appends_nothing(ledger, annotations, tmp_path):
    path = write_jsonl(tmp_path, {"annotation_id": "a00000", "edit_text": "Mended"}, {"annotation_id": "a00001"})
    assert review.replay_file(ledger, annotations, path)[0] == 2
    decide(ledger, annotations, Decision("a00001", "li.wei", "reject", ("domain_error",)))
    before = artifacts.sha256(ledger)
    assert review.replay_file(ledger, annotations, path)[0] == 0
    assert artifacts.sha256(ledger) == before
    assert review.outcomes(ledger, annotations)["verdict"].tolist()[:2] == ["accept", "reject"]


def write_jsonl(folder, *rows):
    lines = (json.dumps({"reviewer": "li.wei", "verdict": "accept"} | row) + "\n" for row in rows)
    (folder / "decisions.jsonl").write_text("".join(lines))
    return folder / "decisions.jsonl"


@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_file_that_is_not_utf_8_is_refused_in_one_line_with_the_remedy(
    ledger, annotations, tmp_path, encoding, suffix
):
    rows = {
        "csv": "annotation_id,reviewer,verdict\na00000,李伟,accept\n",
        "jsonl": '{"annotation_id": "a00000", "reviewer": "李伟", "verdict": "accept"}\n',
    }
    path = tmp_path / f"decisions.{suffix}"
    path.write_bytes(rows[suffix].encode(encoding))
    with pytest.raises(ValueError, match=rf"decisions\.{suffix} is not UTF-8 text.*save it as UTF-8") as error:
        review.replay_file(ledger, annotations, path)
    assert not isinstance(error.value, UnicodeDecodeError)
    assert "\n" not in str(error.value)
    assert review_ledger.events(ledger).empty


def test_a_csv_with_a_quote_left_open_is_refused_in_one_line(ledger, annotations, tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text('annotation_id,reviewer,verdict\na00000,li.wei,"accept\n' + "a00001,li.wei,accept\n" * 10_000)
    with pytest.raises(ValueError, match=r"decisions\.csv.*quotes"):
        review.replay_file(ledger, annotations, path)


def test_an_edit_that_is_a_number_is_the_text_a_person_meant(ledger, annotations, tmp_path):
    annotations.loc[4, "choices"] = '["0", "1"]'
    edits = {"a00000": 3, "a00001": 2.5, "a00002": "nan", "a00003": "", "a00004": 0}
    path = write_jsonl(tmp_path, *({"annotation_id": key, "edit_text": edit} for key, edit in edits.items()))
    n_recorded, refused = review.replay_file(ledger, annotations, path)
    assert (n_recorded, refused["reason"].tolist()) == (5, [])
    assert review.accepted(ledger, annotations)["answer"].tolist() == ["3", "2.5", "nan", "Answer 3", "0"]
    assert review.replay_file(ledger, annotations, path)[0] == 0


BAD_FIELDS = {
    "an edit that is none of the choices": ({"annotation_id": "a00004", "edit_text": "perhaps"}, "none of the choices"),
    "an edit that is no choice by its type": ({"annotation_id": "a00004", "edit_text": 2}, "none of the choices"),
    "an edit that is a list": ({"edit_text": ["Mended"]}, "is no text"),
    "an edit that says false": ({"edit_text": False}, "is no text"),
    "an edit that pandas calls missing": ({"edit_text": float("nan")}, "is no text"),
    "half a character": ({"comment": "\ud83d"}, "half a character"),
    "a duration without end": ({"seconds": 10**400}, "is no duration"),
    "an annotation of another run": ({"annotation_id": "missing"}, "is not in this run"),
}


@pytest.mark.parametrize(("fields", "reason"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_row_that_cannot_be_recorded_is_refused_alone(ledger, annotations, tmp_path, fields, reason):
    sound = [{"annotation_id": "a00000"}, {"annotation_id": "a00002", "edit_text": "Mended"}]
    path = write_jsonl(tmp_path, sound[0], {"annotation_id": "a00001"} | fields, sound[1])
    n_recorded, refused = review.replay_file(ledger, annotations, path)
    assert (n_recorded, refused["line"].tolist()) == (2, [2])
    assert reason in refused["reason"][0]
    assert refused["reason"][0].isprintable()


@pytest.mark.parametrize("line", ["[" * 100_000, '{"seconds": ' + "9" * 5000 + "}"], ids=["nested", "long number"])
def test_a_line_that_json_gives_up_on_is_refused_alone(ledger, annotations, tmp_path, line):
    path = write_jsonl(tmp_path, {"annotation_id": "a00000"})
    path.write_text(line + "\n" + path.read_text())
    n_recorded, refused = review.replay_file(ledger, annotations, path)
    assert (n_recorded, refused["line"].tolist()) == (1, [1])


# --------------------------------------------------------------------------------------------------------------------
# what the decisions amount to


def test_a_person_outranks_a_program_and_one_rejection_keeps_out(ledger, annotations):
    review.apply_policy(ledger, annotations, "facts", seed=0)
    decide(ledger, annotations, Decision("a00001", "li.wei", "accept"), Decision("a00000", "li.wei", "skip"))
    decide(ledger, annotations, Decision("a00005", "li.wei", "accept"))
    decide(ledger, annotations, Decision("a00005", "m.okafor", "reject", ("domain_error",)))
    found = review.outcomes(ledger, annotations).set_index("annotation_id")
    assert tuple(found.loc["a00001", ["verdict", "reviewer"]]) == ("accept", "li.wei")
    assert tuple(found.loc["a00000", ["verdict", "reviewer"]]) == ("accept", "auto:facts")
    assert tuple(found.loc["a00005", ["verdict", "reviewer"]]) == ("reject", "li.wei; m.okafor")
    assert tuple(found.loc["a00003", ["verdict", "reviewer"]]) == ("pending", "")


def test_accepted_has_the_same_bytes_in_another_folder_and_another_order(annotations, tmp_path):
    hashes = set()
    for name, frame in (("one", annotations), ("two", annotations.iloc[::-1])):
        ledger = review_ledger.open_ledger(tmp_path / name / "review.sqlite")
        review.apply_policy(ledger, frame, "facts", seed=0)
        table = review.accepted(ledger, frame)
        hashes.add(artifacts.sha256(artifacts.write_parquet(tmp_path / name / "accepted.parquet", table)))
    assert len(hashes) == 1
    assert list(table.columns) == [*annotations.columns, "verdict", "reviewer"]
    assert table["annotation_id"].is_monotonic_increasing
    assert len(table) == 9


def test_an_edit_becomes_the_answer_and_sheds_the_claims_of_the_old_text(ledger, annotations):
    decide(ledger, annotations, Decision("a00000", "li.wei", "accept", edit_text="Mended <b>"))
    row = review.accepted(ledger, annotations).iloc[0]
    assert (row["answer"], row["claims"], row["steps"]) == ("Mended <b>", "[]", "[]")


def test_a_plain_acceptance_after_an_edit_leaves_the_edit_standing(ledger, annotations):
    decide(ledger, annotations, Decision("a00000", "ann", "accept", edit_text="Mended"))
    decide(ledger, annotations, Decision("a00000", "bob", "accept"), Decision("a00001", "bob", "accept"))
    assert review.accepted(ledger, annotations)["answer"].tolist() == ["Mended", "Answer 1"]


def test_an_edit_changes_no_type_of_the_accepted_table(ledger, annotations, tmp_path):
    decide(ledger, annotations, Decision("a00001", "bob", "accept"))
    before = pq.read_schema(artifacts.write_parquet(tmp_path / "1.parquet", review.accepted(ledger, annotations)))
    decide(ledger, annotations, Decision("a00000", "ann", "accept", edit_text="Mended"))
    after = pq.read_schema(artifacts.write_parquet(tmp_path / "2.parquet", review.accepted(ledger, annotations)))
    assert before.equals(after)


def test_nothing_accepted_is_an_empty_table_with_all_its_columns(ledger, annotations):
    table = review.accepted(ledger, annotations)
    assert len(table) == 0
    assert list(table.columns) == [*annotations.columns, "verdict", "reviewer"]


def test_the_prompt_report_counts_reasons_and_puts_the_worst_prompt_first(ledger, annotations):
    review.apply_policy(ledger, annotations, "facts", seed=0)
    worst, best = review.prompt_report(ledger, annotations)
    assert (worst["prompt_id"], worst["n"], worst["n_decided"], worst["n_accepted"]) == ("qa.p1", 6, 5, 4)
    assert worst["reasons"] == {"contradicted": 1}
    assert best["reasons"] == {"unsupported": 1}
    assert worst["ci_low"] < worst["acceptance"] < worst["ci_high"]


def test_agreement_says_why_it_is_not_computed(ledger, annotations):
    found = agreement.agreement(ledger, annotations, seed=0, profile="tiny")
    assert found["cohen_kappa"] == {
        "value": None,
        "ci_low": None,
        "ci_high": None,
        "reason": "not computed: no reviewer",
    }
    review.apply_policy(ledger, annotations, "facts", seed=0)
    found = agreement.agreement(ledger, annotations, seed=0, profile="tiny")
    assert found["gwet_ac1"]["reason"] == "not computed: one reviewer"
    assert found["n"] == 0


def test_agreement_of_everything_accepted_has_no_kappa_but_an_ac1_of_one(ledger, annotations):
    for name in REVIEWERS:
        decide(ledger, annotations, *(Decision(key, name, "accept") for key in annotations["annotation_id"]))
    found = agreement.agreement(ledger, annotations, seed=0, profile="tiny")
    assert found["cohen_kappa"]["value"] is None
    assert "same verdict throughout" in found["cohen_kappa"]["reason"]
    assert (found["n"], found["gwet_ac1"]["value"], found["raw_agreement"]["value"]) == (12, 1.0, 1.0)
    json.dumps(found, allow_nan=False)


def test_kappa_misleads_where_ac1_does_not():
    # 80 % raw agreement at 90 % acceptance; values worked out by hand
    found = agreement.coefficients(np.array([[80, 10], [10, 0]]))
    assert found["raw_agreement"] == pytest.approx(0.8)
    assert found["cohen_kappa"] == pytest.approx(-1 / 9)
    assert found["gwet_ac1"] == pytest.approx((0.8 - 0.18) / 0.82)


def test_kappa_is_scikit_learns():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(3)
    for _ in range(20):
        votes = rng.random((40, 2)) < rng.uniform(0.2, 0.9, 2)
        table = [[np.sum((votes[:, 0] == i) & (votes[:, 1] == j)) for j in (True, False)] for i in (True, False)]
        expected = cohen_kappa_score(votes[:, 0], votes[:, 1])
        assert agreement.coefficients(np.array(table))["cohen_kappa"] == pytest.approx(expected)


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    truth = np.array([[0.70, 0.10], [0.08, 0.12]])  # reviewers who accept four of five
    wanted = agreement.coefficients(truth)
    rng, held = np.random.default_rng(1), dict.fromkeys(agreement.METRICS, 0)
    for _ in range(120):
        table = rng.multinomial(150, truth.ravel()).reshape(2, 2)
        for name, found in agreement._with_intervals(table, rng).items():
            held[name] += found["ci_low"] <= wanted[name] <= found["ci_high"]
    assert all(0.88 <= n / 120 <= 1 for n in held.values()), held


def test_persons_pair_leads_and_its_interval_holds_the_value(ledger):
    annotations = make_annotations(60)
    review.apply_policy(ledger, annotations, "facts", seed=0)
    for name, period in (("li.wei", 5), ("m.okafor", 4)):
        rejected = {key for i, key in enumerate(annotations["annotation_id"]) if i % period == 0 or i % 17 == 0}
        verdicts = {
            key: ("reject", ("domain_error",)) if key in rejected else ("accept", ())
            for key in annotations["annotation_id"][:40]
        }
        decide(ledger, annotations, *(Decision(key, name, *verdict) for key, verdict in verdicts.items()))
    found = agreement.agreement(ledger, annotations, seed=0, profile="tiny")
    assert found["pairs"][0]["reviewers"] == ["li.wei", "m.okafor"]
    assert found["n"] == 40
    assert len(found["pairs"]) == 3
    for name in agreement.METRICS:
        assert found[name]["ci_low"] <= found[name]["value"] <= found[name]["ci_high"]
