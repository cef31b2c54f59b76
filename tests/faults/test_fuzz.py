"""A thousand damaged inputs of every kind that is read: each gives a result or one line of the documented error.

The damage follows from the seed: bytes flipped, cut, doubled, swapped, hostile text laid in. A reader may accept what
is still sound; it may not raise anything else, nor give up the rest of the batch.
"""

import csv
import io
import json
import random
from pathlib import Path

import hostile_texts
import pandas as pd
import pytest
import test_hostile_files
from cases import SEED, share

from jwvl_lib import chat_log, parameters, report, review, review_ledger, run, swpc, teacher_replies
from jwvl_lib.observations import UnreadableImage, open_observation, sunpy_data

GOOD_REPLY = json.dumps({name: "seen" for name in ("observe", "identify", "analyse", "conclude", "answer")})
COMPLETION = {"id": "c", "choices": [{"index": 0, "message": {"content": GOOD_REPLY}, "finish_reason": "stop"}]}
HOSTILE = [text.encode() for text in (*hostile_texts.PAYLOADS[:40], *hostile_texts.PLANTS)]
HOSTILE += [
    b"\x00",
    b"\xff\xfe",
    b"9" * 400,
    b"NaN",
    b"-1e999",
    b"\r\n" * 50,
    b'"' * 7,
    "太阳☀\u202e".encode(),
    b"[" * 2000,
]


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """Some bytes of a file changed, in one to three ways."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(raw) + 1)
        length = rng.choice((1, 8, 80))
        match rng.randrange(6):
            case 0:
                raw = raw[:at]
            case 1:
                raw = raw[:at] + rng.randbytes(length) + raw[at + length :]
            case 2:
                raw = raw[:at] + rng.choice(HOSTILE) + raw[at:]
            case 3:
                raw = raw[:at] + raw[at + length :]
            case 4:
                raw = raw[:at] + raw[at : at + 200] + raw[at:]
            case 5:
                raw = raw[:at] + bytes(b ^ 1 << rng.randrange(8) for b in raw[at : at + length]) + raw[at + length :]
    return raw


def put(counts, n: int, read, expected: type[Exception] | tuple, make) -> None:
    """Read `n` damaged inputs; whatever else than `expected`, in one line, comes of one fails."""
    for k in range(n):
        rng = random.Random(f"{SEED} {counts.stage} {k}")
        content = make(rng)
        counts.n += 1
        said = "nothing"
        try:
            read(content)
        except expected as error:
            said = str(error).strip()
        except Exception as error:
            pytest.fail(f"case {k} ({str(content)[:300]}): {type(error).__name__}: {error}")
        counts.silent += not said
        assert said, f"case {k}: an error without a word"
        assert "\n" not in said, f"case {k}: {said}"
        counts.survived += 1


def test_images(row, tmp_path):
    counts, n = row("fuzzed input: image", "01_corpus_curation"), share(250)
    good = test_hostile_files._good_files(tmp_path)
    test_hostile_files._write_bad(tmp_path, good, n)
    paths = iter(sorted(set(tmp_path.iterdir()) - set(good)))
    put(counts, n, lambda path: open_observation(path), UnreadableImage, lambda _: next(paths))


def test_summaries(row):
    sound = [p.read_bytes() for p in sorted((sunpy_data() / "SRS").glob("*SRS.txt"))]
    put(
        row("fuzzed input: region summary", "06_daily_report"), share(200),
        lambda raw: swpc.srs_table(swpc.parse_srs(raw)), swpc.SwpcFormatError,
        lambda rng: damaged(rng.choice(sound), rng),
    )  # fmt: skip


def test_event_lists(row):
    sound = hostile_texts.EVENTS.encode()
    put(
        row("fuzzed input: event list", "06_daily_report"), share(150),
        lambda raw: swpc.events_table(swpc.parse_events(raw)), swpc.SwpcFormatError,
        lambda rng: damaged(sound, rng),
    )  # fmt: skip


def test_whole_report_days(row, tmp_path):
    """The day's report comes out, or refuses the day in one line; a damaged source of it is a warning."""
    day = next(p for p in sorted((sunpy_data() / "SRS").glob("*SRS.txt")))
    date = f"{day.name[:4]}-{day.name[4:6]}-{day.name[6:8]}"

    def read(raw: bytes) -> None:
        (tmp_path / day.name).write_bytes(raw)
        made = report.compose(report.gather(date, tmp_path), date, profile="tiny")
        json.dumps(made, allow_nan=False)
        assert made["regions"] or made["warnings"]

    put(
        row("fuzzed input: report day", "06_daily_report"), share(60), read, ValueError,
        lambda rng: damaged(day.read_bytes(), rng),
    )  # fmt: skip


def test_replies_of_a_teacher(row):
    """A reply becomes columns of an attempt, whatever it is: answered or invalid with its reason."""

    def read(raw: bytes) -> None:
        try:
            completion = json.loads(raw)
        except (ValueError, RecursionError):
            completion = raw.decode(errors="replace")
        found = teacher_replies.read_completion(completion, ())
        assert found["outcome"] in ("answered", "invalid")
        assert found["outcome"] == "answered" or found["error"]

    sound = json.dumps(COMPLETION).encode()
    put(row("fuzzed input: reply", "02_distillation"), share(150), read, (), lambda rng: damaged(sound, rng))


def decisions(kind: str) -> bytes:
    rows = [
        {"annotation_id": f"a{k}", "reviewer": "anna", "verdict": "accept", "comment": "gut, schön"} for k in range(6)
    ]
    if kind == "jsonl":
        return "".join(json.dumps(r) + "\n" for r in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_decision_files(row, tmp_path, kind):
    """Sound rows of a damaged file are recorded, once; the rest is listed with its line, or the file is refused."""
    columns = "image_id task language question answer prompt_id prompt_version teacher".split()
    table = pd.DataFrame({"annotation_id": [f"a{k}" for k in range(6)]} | {name: name for name in columns})
    table["choices"] = "[]"

    def read(raw: bytes) -> None:
        ledger = review_ledger.open_ledger(tmp_path / "review.sqlite")
        (tmp_path / f"decisions.{kind}").write_bytes(raw)
        try:
            n, refused = review.replay_file(ledger, table, tmp_path / f"decisions.{kind}")
            assert n == len(review_ledger.events(ledger))
            assert not refused["reason"].str.contains("\n").any()
            again, _ = review.replay_file(ledger, table, tmp_path / f"decisions.{kind}")
            assert again == 0
        finally:
            for path in tmp_path.glob("review.sqlite*"):
                path.unlink()

    sound = decisions(kind)
    put(
        row(f"fuzzed input: decisions {kind}", "03_review"),
        share(60),
        read,
        ValueError,
        lambda rng: damaged(sound, rng),
    )


def test_parameter_files(row, tmp_path):
    sound, path = Path(parameters.NOTEBOOKS.parent / "params" / "smoke.yaml").read_bytes(), tmp_path / "p.yaml"

    def read(raw: bytes) -> None:
        path.write_bytes(raw)
        values = parameters.read_parameter_file(path)
        parameters.check_names(values, run.all_stages())
        for stage in run.all_stages():
            parameters.stage_parameters(stage, values)

    put(
        row("fuzzed input: parameter file", "all"), share(100), read, parameters.ParameterError,
        lambda rng: damaged(sound, rng),
    )  # fmt: skip


def test_conversations(row, tmp_path):
    """Every sound line of a damaged conversation is read back, and the next one is written behind it."""
    events = [{"event": "question", "turn": f"t{k}", "question": "q", "images": []} for k in range(5)]
    sound = "".join(json.dumps(e) + "\n" for e in events).encode()
    path = tmp_path / "c.jsonl"

    def read(raw: bytes) -> None:
        path.write_bytes(raw)
        n = len(chat_log.read(path))
        chat_log.append(path, {"event": "question", "turn": "new", "question": "q", "images": []})
        assert len(chat_log.read(path)) == n + 1

    put(row("fuzzed input: conversation", "07_chat"), share(60), read, (), lambda rng: damaged(sound, rng))
