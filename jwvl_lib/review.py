"""Review of the teacher's annotations: who decides on what, and what the decisions amount to.

Reads `annotations.parquet`, the ledger `review.sqlite` and, where given, a file of decisions (CSV or JSONL); what it
returns becomes `accepted.parquet`, `agreement.json` and `prompt_report.json`. Two kinds of reviewer decide: persons, in
the panel or by a file, and the policy `facts`, a program that goes by the claims' marks and signs as `auto:facts`. A
person's decision outranks a program's. Among equals one rejection or flag keeps an annotation out.
"""

import csv
import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import repeat
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from astropy.stats import binom_conf_interval

from jwvl_lib import review_ledger
from jwvl_lib.review_ledger import REASONS, Decision, is_person

AUTO_FACTS = "auto:facts"
_DONE = 3  # the turn in a queue of what needs no further decision


# --------------------------------------------------------------------------------------------------------------------
# who looks at what


def require_share(name: str, share: float) -> float:
    """The share itself; ValueError where it is not between 0 and 1."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} {share} is no share; give a number from 0 to 1, such as 0.1")
    return share


def sampled(annotation_ids: Iterable[str], share: float, seed: int, purpose: str) -> set[str]:
    """A fixed share (0 to 1, rounded up to whole annotations) drawn by hash: the same on every machine and rerun."""
    ids = np.asarray(list(annotation_ids), dtype=object)
    n_drawn = math.ceil(share * len(ids) - 1e-9)
    if n_drawn <= 0:
        return set()
    key = hashlib.sha256(f"{purpose}/{seed}".encode()).hexdigest()[:16]
    drawn = pd.util.hash_array(ids, hash_key=key, categorize=False)  # SipHash: a twentieth of the time of sha256
    last = np.partition(drawn, n_drawn - 1)[n_drawn - 1]
    first = ids[drawn < last].tolist()
    return {*first, *sorted(ids[drawn == last])[: n_drawn - len(first)]}


def queue(
    ledger: Path, annotations: pd.DataFrame, reviewer: str, overlap: float, seed: int, standing: Mapping | None = None
) -> list[tuple[str, int]]:
    """What a person is to look at, in order: what nobody decided, what only a program did, then second opinions.

    Returns pairs (annotation_id, how many persons are to decide it): one, or two for what somebody flagged and for the
    share `overlap` that a second person decides without seeing the first verdict. Annotations of a picture stay
    together. `standing`: the persons' verdicts, where they have just been read.
    """
    standing = review_ledger.persons_verdicts(ledger, annotations) if standing is None else standing
    ids = annotations["annotation_id"].tolist()
    twice = sampled(ids, overlap, seed, "overlap")
    turn = dict.fromkeys(review_ledger.seen_by_programs(ledger), 1)
    for key, votes in standing.items():
        by_persons = [verdict for verdict in votes.values() if verdict != "skip"]
        if "flag" in by_persons:
            twice.add(key)
        done = reviewer in votes or len(by_persons) >= 1 + (key in twice)
        turn[key] = _DONE if done else 2 if by_persons else turn.get(key, 0)
    turns = np.fromiter(map(turn.get, ids, repeat(0)), np.int64, len(ids))
    order = _sorted_places(annotations, turns)
    return [(ids[i], 1 + (ids[i] in twice)) for i in order[turns[order] < _DONE].tolist()]


def _sorted_places(annotations: pd.DataFrame, turns: np.ndarray) -> np.ndarray:
    """The rows' places in the order of a queue: by turn, then what belongs to a picture together."""
    columns = ["image_id", "task", "prompt_id", "language", "annotation_id"]
    table = pa.table({"turn": turns} | {name: annotations[name] for name in columns})
    return pc.sort_indices(table, [(name, "ascending") for name in table.column_names]).to_numpy()


# --------------------------------------------------------------------------------------------------------------------
# headless decisions: a policy, the replay of a file, the ledger itself out and in again


def apply_policy(ledger: Path, annotations: pd.DataFrame, policy: str, seed: int) -> dict[str, int]:
    """Bring the decisions of `auto:facts` to what the policy says, in one transaction; a rerun appends nothing.

    `facts`: accept where every claim is supported, reject (contradicted, unsupported) where one is not; an annotation
    without claims is left to a person. `sample:5`: the same, but 5 % are left to a person. `none`: decides nothing.
    ValueError for another policy. Returns counts: accept, reject, left_to_person, appended.
    """
    left = sampled(annotations["annotation_id"], _share_left(policy), seed, "sample")
    wanted = {}
    for key, claims in zip(annotations["annotation_id"].tolist(), annotations["claims"].tolist(), strict=True):
        wanted[key] = None if key in left else _by_claims(key, json.loads(claims))
    standing = _standing(ledger, annotations, AUTO_FACTS)
    new = [d for key, d in wanted.items() if d and standing.get(key) != (d.verdict, d.reasons)]
    void = [key for key, d in wanted.items() if d is None and key in standing]
    review_ledger.append(ledger, new, annotations, client="policy", undone=[(AUTO_FACTS, key) for key in void])
    verdicts = Counter(d.verdict if d else "left_to_person" for d in wanted.values())
    counts = {name: verdicts[name] for name in ("accept", "reject", "left_to_person")}
    return counts | {"appended": len(new) + len(void)}


def _share_left(policy: str) -> float:
    name, _, percent = policy.partition(":")
    if name in ("facts", "none") and not percent:
        return 0.0 if name == "facts" else 1.0
    try:
        share = float(percent) / 100 if name == "sample" else math.nan
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"policy {policy!r} is not known; use facts, none or sample:<percent>, such as sample:5")
    return share


def _by_claims(annotation_id: str, claims: list[Mapping]) -> Decision | None:
    marks = {claim["verdict"] for claim in claims}
    reasons = tuple(mark for mark in ("contradicted", "unsupported") if mark in marks)
    if reasons:
        return Decision(annotation_id, AUTO_FACTS, "reject", reasons)
    return Decision(annotation_id, AUTO_FACTS, "accept") if marks == {"supported"} else None


def _standing(ledger: Path, annotations: pd.DataFrame, reviewer: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    state = review_ledger.current(ledger, annotations)
    state = state[state["reviewer"] == reviewer]
    reasons = state["reasons"].map(lambda text: tuple(json.loads(text)))
    return dict(zip(state["annotation_id"], zip(state["verdict"], reasons, strict=True), strict=True))


def replay_file(ledger: Path, annotations: pd.DataFrame, path: str | Path) -> tuple[int, pd.DataFrame]:
    """Record the decisions of a CSV or JSONL file under the names that stand in it; a second replay appends nothing.

    Columns: annotation_id, reviewer, verdict, and where wanted reasons (a list, in CSV joined by `;`), comment,
    edit_text, seconds. What the ledger has heard once from a file is not said again, so a reviewer may change her mind
    afterwards. Returns how many were recorded, and the rows refused: line, reason. ValueError for a file that is not
    UTF-8 text or, as CSV, leaves a quote open; then nothing is recorded.
    """
    rows = review_ledger.rows_by_id(annotations, set(annotations["annotation_id"]))
    heard = {_content(row) for row in review_ledger.events(ledger).query("client == 'file'").to_dict("records")}
    new, refused = [], []
    for line, row in _read_rows(Path(path)):
        try:
            decision = _decision(row)
            review_ledger.require_recordable(decision, rows)
        except ValueError as error:
            refused.append({"line": line, "reason": str(error)})
            continue
        content = _content(vars(decision) | {"reasons": json.dumps(list(decision.reasons))})
        if content not in heard:
            heard.add(content)
            new.append(decision)
    review_ledger.append_rows(ledger, new, rows, client="file")
    return len(new), pd.DataFrame(refused, columns=["line", "reason"])


def _content(row: Mapping) -> tuple:
    return tuple(row[n] or "" for n in ("annotation_id", "reviewer", "verdict", "reasons", "comment", "edit_text"))


def _read_rows(path: Path) -> Iterable[tuple[int, Mapping]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _csv_rows(file) if path.suffix.lower() == ".csv" else _json_rows(file)
    except UnicodeDecodeError as error:  # Excel in China writes GBK, its "Unicode text" is UTF-16
        raise ValueError(f"{path} is not UTF-8 text; save it as UTF-8 (in Excel: CSV UTF-8) and run again") from error
    except csv.Error as error:
        raise ValueError(f"{path} is no sound CSV ({error}); close its quotes and run again") from error


def _csv_rows(file: TextIO) -> Iterable[tuple[int, Mapping]]:
    reader = csv.DictReader(file)
    yield from ((reader.line_num, row) for row in reader)


def _json_rows(file: TextIO) -> Iterable[tuple[int, Mapping]]:
    yield from ((line, _json_object(text)) for line, text in enumerate(file, start=1) if text.strip())


def _json_object(text: str) -> Mapping:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):  # torn, a number of thousands of digits, nested without end
        row = None
    return row if isinstance(row, dict) else {"unreadable": True}


def _decision(row: Mapping) -> Decision:
    if row.get("unreadable"):
        raise ValueError("the line is no JSON object; write one object a line")
    key, reviewer, reasons = str(row.get("annotation_id") or ""), str(row.get("reviewer") or ""), row.get("reasons")
    if reviewer == AUTO_FACTS:
        raise ValueError(f"reviewer {AUTO_FACTS!r} is the policy's own name; give the name of whoever decided")
    if not isinstance(reasons, list):
        reasons = [part.strip() for part in str(reasons or "").split(";") if part.strip()]
    edit, seconds = _edit(row.get("edit_text")), _seconds(row.get("seconds"))
    verdict, comment = str(row.get("verdict") or ""), str(row.get("comment") or "")
    return Decision(key, reviewer, verdict, tuple(map(str, reasons)), comment, edit, seconds)


def _edit(value: object) -> str | None:
    """A number is its digits, 0 among them; false, NaN and a list stand for no text that anybody wrote."""
    if value is None or value == "":
        return None
    endless = isinstance(value, float) and not math.isfinite(value)
    if endless or isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the edit {value!r} is no text; give the text, or leave it out where nothing was edited")
    return str(value)


def _seconds(value: object) -> float | None:
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} seconds is no duration; leave it out where it is not known") from None


def export_events(path: str | Path, target: str | Path) -> Path:
    """Write every event, undos too, as one JSON object a line: the ledger in a form that outlives SQLite."""
    with review_ledger.connection(Path(path)) as db:
        rows = [dict(row) for row in db.execute("SELECT * FROM review_event ORDER BY id")]
    Path(target).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return Path(target)


def rebuild(source: str | Path, path: str | Path) -> int:
    """Make a new ledger at `path` from the events of an export, numbers and times as they were. Returns how many.

    ValueError where the new ledger has events already, or where a line is not an event: a torn last one, an empty one.
    """
    rows = []
    for line, raw in enumerate(Path(source).read_bytes().splitlines(), start=1):  # bytes: it may end within a character
        try:
            rows.append([json.loads(raw.decode())[name] for name in review_ledger.EVENT_COLUMNS])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{source}, line {line} is no event ({error}); export the ledger again") from error
    with review_ledger.transaction(review_ledger.open_ledger(path)) as db:
        if db.execute("SELECT 1 FROM review_event").fetchone():
            raise ValueError(f"{path} has events already; rebuild into a new file")
        marks = ", ".join("?" * len(review_ledger.EVENT_COLUMNS))
        db.executemany(f"INSERT INTO review_event ({', '.join(review_ledger.EVENT_COLUMNS)}) VALUES ({marks})", rows)
    return len(rows)


# --------------------------------------------------------------------------------------------------------------------
# what the decisions amount to


def outcomes(ledger: Path, annotations: pd.DataFrame) -> pd.DataFrame:
    """One row an annotation, sorted by annotation_id: verdict, reasons, reviewer, edit_text (None without an edit).

    The verdict is accept, reject, flag or pending. Persons outrank programs and a skip decides nothing; among equals a
    rejection outranks a flag and a flag an acceptance. `reviewer` names all who had that rank, joined by "; ".
    """
    state = review_ledger.current(ledger, annotations)
    by_annotation = defaultdict(list)
    for decision in state[state["verdict"] != "skip"].to_dict("records"):
        by_annotation[decision["annotation_id"]].append(decision)
    rows = [_outcome(key, by_annotation[key]) for key in sorted(annotations["annotation_id"].tolist())]
    frame = pd.DataFrame(rows, columns=["annotation_id", "verdict", "reasons", "reviewer", "edit_text"])
    return frame.assign(edit_text=pd.Series([row[-1] for row in rows], dtype=object))  # keeps None: pandas 3 puts NaN


def _outcome(annotation_id: str, decisions: list[Mapping]) -> tuple:
    decisions = [d for d in decisions if is_person(d["reviewer"])] or decisions
    verdicts = {d["verdict"] for d in decisions}
    verdict = next((v for v in ("reject", "flag", "accept") if v in verdicts), "pending")
    reasons = sorted({reason for d in decisions for reason in json.loads(d["reasons"])}, key=list(REASONS).index)
    reviewer = "; ".join(sorted({d["reviewer"] for d in decisions}))
    edits = [d["edit_text"] for d in decisions if d["edit_text"]]
    return annotation_id, verdict, reasons, reviewer, edits[-1] if edits and verdict == "accept" else None


def accepted(ledger: Path, annotations: pd.DataFrame) -> pd.DataFrame:
    """The accepted annotations: their columns, then verdict and reviewer, sorted by annotation_id, without times.

    A reviewer's edit stands in `answer`; the claims and steps of the text it replaced are dropped ("[]").
    """
    frame = annotations.merge(outcomes(ledger, annotations), on="annotation_id", validate="one_to_one")
    frame = frame[frame["verdict"] == "accept"].sort_values("annotation_id", ignore_index=True)
    edited = frame["edit_text"].notna()
    frame["answer"] = frame["edit_text"].where(edited, frame["answer"])
    frame[["claims", "steps"]] = frame[["claims", "steps"]].mask(edited, "[]")
    return frame[[*annotations.columns, "verdict", "reviewer"]]


def prompt_report(ledger: Path, annotations: pd.DataFrame) -> list[dict]:
    """Acceptance per prompt and version: the feedback from which a prompt is revised.

    Records {prompt_id, prompt_version, n, n_decided, n_accepted, acceptance (of the decided; None without any),
    ci_low, ci_high (Wilson, 95 %), reasons {reason: n}}, the worst first.
    """
    frame = annotations.merge(outcomes(ledger, annotations), on="annotation_id")
    report = []
    for (prompt_id, version), group in frame.groupby(["prompt_id", "prompt_version"]):
        n_accepted, n = int((group["verdict"] == "accept").sum()), int((group["verdict"] != "pending").sum())
        counted = Counter(reason for reasons in group["reasons"] for reason in reasons)
        low, high = _wilson(n_accepted, n)
        report.append(
            {"prompt_id": prompt_id, "prompt_version": str(version), "n": len(group), "n_decided": n}
            | {"n_accepted": n_accepted, "acceptance": n_accepted / n if n else None, "ci_low": low, "ci_high": high}
            | {"reasons": {reason: counted[reason] for reason in REASONS if counted[reason]}}
        )
    return sorted(report, key=lambda r: (r["acceptance"] is None, r["acceptance"], r["prompt_id"], r["prompt_version"]))


def _wilson(k: int, n: int) -> tuple[float | None, float | None]:
    return tuple(map(float, binom_conf_interval(k, n, 0.95, interval="wilson"))) if n else (None, None)
