"""A run's corpus and accepted annotations in the layouts of other tools: `python -m jwvl_lib.export outputs/tiny`.

Reads `01_corpus_curation` and, where it has finished, `03_review` of a run; writes a folder that Hugging Face
`datasets` loads as it is (README.md with its card, `data/<split>/` with pictures and metadata.jsonl) and `sft/` with
the conversations for ms-swift, TRL (JSON lines) and LLaVA (one JSON list), a file a split: every picture of a question
and every turn before it.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import yaml

from jwvl_lib import artifacts, boxes, instruments

SPLITS = ("train", "val", "test")
HUB_SPLITS = {"val": "validation"}  # what `datasets` calls it
BOX_LIST = re.compile(r'"bbox_2d":\s*\[([^\]]*)\]')
SFT_NOTE = (
    "A record of `sft/` holds every picture of its question and the turns before it. In `sft/llava_*` several pictures"
    " are a list, which LLaVA-NeXT's training reads; LLaVA 1.5 takes records of one picture only."
)
COLUMNS = (
    "image_id observatory instrument measurement wavelength_angstrom layer date_obs simulated stretch group_id "
    "banner_text"
).split()


def export_run(run_dir: str | Path, to: str | Path) -> dict[str, int]:
    """Write the whole export of a run into a new or empty folder; returns the number of records by file.

    Raises MissingArtifactError where the corpus has not been made, ValueError where `to` holds something else.
    """
    run_dir, to = Path(run_dir).absolute(), Path(to)
    source = artifacts.require_stage(run_dir, "01_corpus_curation")
    if to.exists() and any(to.iterdir()):
        raise ValueError(f"{to} is not empty; name a folder that does not exist yet")
    corpus = pd.read_parquet(source / "corpus.parquet")
    counts = hub_layout(corpus, source, to)
    if artifacts.read_manifest(run_dir / "03_review") is not None:
        accepted = pd.read_parquet(artifacts.require_stage(run_dir, "03_review") / "accepted.parquet")
        counts |= conversations(corpus, accepted, to)
    profile = artifacts.read_manifest(source)["profile"]
    artifacts.write_text(to / "README.md", card(corpus, profile, counts))
    return counts


# --------------------------------------------------------------------------------------------------------------------
# pictures with facts and boxes


def hub_layout(corpus: pd.DataFrame, source: Path, to: Path) -> dict[str, int]:
    """`data/<split>/*.png` with a metadata.jsonl: file_name, what the picture is, its facts and boxes."""
    counts = {}
    for split, rows in _by_split(corpus):
        folder = to / "data" / HUB_SPLITS.get(split, split)
        folder.mkdir(parents=True)
        records = []
        for row in rows.itertuples():
            name = Path(row.path).name
            shutil.copyfile(source / row.path, folder / name)
            facts = [{k: str(v) for k, v in f.items() if v is not None} for f in json.loads(row.facts)]
            record = {"file_name": name, **{c: _plain(getattr(row, c)) for c in COLUMNS}}
            records.append(record | {"facts": json.dumps(facts, ensure_ascii=False), "boxes": row.boxes})
        counts[str((folder / "metadata.jsonl").relative_to(to))] = _write_lines(folder / "metadata.jsonl", records)
    return counts


def _by_split(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for split in SPLITS:
        if len(rows := table[table["split"] == split]):
            yield split, rows


def _plain(value: object) -> object:
    """A JSON value; missing numbers are null."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value != value else value


# --------------------------------------------------------------------------------------------------------------------
# conversations


def conversations(corpus: pd.DataFrame, accepted: pd.DataFrame, to: Path) -> dict[str, int]:
    """`sft/<tool>_<split>`, one record an accepted annotation; pictures are those of `data/`, by relative path.

    `accepted` may have `more_images` and `turns`, lists in JSON, as `samples` reads them. Returns the number of records
    by file. Raises ValueError where a further picture is of another split, or in no corpus.
    """
    known = corpus[["image_id", "path", "split", "width", "height"]]
    table = accepted.drop(columns=["split"], errors="ignore").merge(known, on="image_id", validate="many_to_one")
    (to / "sft").mkdir(parents=True, exist_ok=True)
    counts = {}
    for split, rows in _by_split(table):
        rows = rows.assign(pictures=_pictures(rows, corpus[corpus["split"] == split]))
        for tool, make in TOOLS.items():
            records = [make(row) for row in rows.itertuples()]
            path = to / "sft" / f"{tool}_{split}.{'json' if tool == 'llava' else 'jsonl'}"
            if tool == "llava":
                artifacts.write_json(path, records)
            else:
                _write_lines(path, records)
            counts[str(path.relative_to(to))] = len(records)
    return counts


def _pictures(rows: pd.DataFrame, corpus: pd.DataFrame) -> list[list[str]]:
    """Paths in `data/` of every picture of each row, in their order; row and corpus are of one split."""
    files = {row.image_id: _picture(row) for row in corpus.itertuples()}
    shown = []
    for row in rows.itertuples():
        images = [row.image_id, *json.loads(getattr(row, "more_images", "[]"))]
        if missing := [i for i in images if i not in files]:  # of the test split it would reach a training file
            raise ValueError(
                f"annotation {row.annotation_id} shows {', '.join(missing)}, no picture of the {row.split} split"
            )
        shown.append([files[i] for i in images])
    return shown


def ms_swift(row: object) -> dict:
    """ms-swift, "Custom dataset": messages, as many <image> as `images`, all in the first question.

    Boxes are <bbox> with their pixels in `objects`, which it converts itself, by default as of the first picture.
    """
    said = [(question, *_boxes_out(answer)) for question, answer in _exchanges(row, "<image>")]
    found = [box for _, _, of_answer in said for box in of_answer]
    record = {"messages": _messages([(question, answer) for question, answer, _ in said]), "images": row.pictures}
    return record | ({"objects": {"ref": [], "bbox": found, "bbox_type": "real"}} if found else {})


def trl(row: object) -> dict:
    """TRL's SFTTrainer, "Vision datasets": messages of typed parts, the pictures in a column of their own.

    An image part for each picture stands before the first question; boxes as Qwen2.5-VL has them.
    """
    messages = _messages(_with_boxes(_exchanges(row), row, "qwen2.5-vl"))
    for message in messages:  # everywhere: a column of `datasets` has one type
        message["content"] = [{"type": "text", "text": message["content"]}]
    messages[0]["content"][:0] = [{"type": "image"}] * len(row.pictures)
    return {"messages": messages, "images": row.pictures}


def llava(row: object) -> dict:
    """LLaVA: id, image, and turns of human and gpt, every <image> in the first; boxes as shares of the padded picture.

    Several pictures are a list, as LLaVA-NeXT's training (Interleave, OneVision) reads them; LLaVA 1.5 reads one path.
    """
    said = _messages(_with_boxes(_exchanges(row, "<image>\n"), row, "norm1"))
    names = {"user": "human", "assistant": "gpt"}
    turns = [{"from": names[message["role"]], "value": message["content"]} for message in said]
    image = row.pictures if len(row.pictures) > 1 else row.pictures[0]
    return {"id": row.annotation_id, "image": image, "conversations": turns}


TOOLS: dict[str, Callable] = {"ms_swift": ms_swift, "trl": trl, "llava": llava}


def _exchanges(row: object, tag: str = "") -> list[tuple[str, str]]:
    """(question, answer) of the earlier turns, then of the row; a `tag` for each picture before the first question."""
    earlier = [(turn["question"], turn["answer"]) for turn in json.loads(getattr(row, "turns", "[]"))]
    (question, answer), *later = [*earlier, (row.question, row.answer)]
    return [(tag * len(row.pictures) + question, answer), *later]


def _messages(exchanges: list[tuple[str, str]]) -> list[dict]:
    return [
        {"role": role, "content": text}
        for exchange in exchanges
        for role, text in zip(("user", "assistant"), exchange, strict=True)
    ]


def _picture(row: object) -> str:
    return f"data/{HUB_SPLITS.get(row.split, row.split)}/{Path(row.path).name}"


def _numbers(match: re.Match) -> list[float]:
    return [float(v) for v in match[1].split(",")]


def _boxes_out(answer: str) -> tuple[str, list[list[float]]]:
    """The answer with <bbox> for each box, and the boxes."""
    found = [_numbers(match) for match in BOX_LIST.finditer(answer)]
    return BOX_LIST.sub('"bbox_2d": <bbox>', answer), found


def _with_boxes(exchanges: list[tuple[str, str]], row: object, convention: str) -> list[tuple[str, str]]:
    """The exchanges with the boxes, pixels of the row's first picture, in another convention."""
    size = (row.width, row.height)
    return [(question, _boxes_as(answer, size, convention)) for question, answer in exchanges]


def _boxes_as(answer: str, size: tuple[int, int], convention: str) -> str:
    return BOX_LIST.sub(
        lambda match: f'"bbox_2d": {json.dumps(boxes.to_model(_numbers(match), size, convention))}', answer
    )


def _write_lines(path: Path, records: list[dict]) -> int:
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
    artifacts.write_text(path, "".join(f"{line}\n" for line in lines))
    return len(records)


# --------------------------------------------------------------------------------------------------------------------
# the card


def card(corpus: pd.DataFrame, profile: str, counts: dict[str, int]) -> str:
    """README.md of the export: the YAML head that `datasets` reads, then what is in it and where it comes from."""
    splits = [HUB_SPLITS.get(split, split) for split, _ in _by_split(corpus)]
    files = [{"split": split, "path": f"data/{split}/**"} for split in splits]
    head = {
        "pretty_name": "Solar images with facts and boxes",
        "language": ["en", "zh"],
        "license": "other",
        "license_name": "credits-of-the-instruments",
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "tags": ["astronomy", "solar-physics"],
        "size_categories": [_size(len(corpus))],
        "configs": [{"config_name": "default", "drop_labels": True, "data_files": files}],
    }
    simulated = int(corpus["simulated"].sum())
    table = corpus.assign(simulated=corpus["simulated"].map({True: "simulated", False: "observed"}))
    table = table.groupby(["observatory", "instrument", "measurement", "simulated", "split"]).size().reset_index()
    lines = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        "# Solar images with facts and boxes",
        f"{len(corpus)} pictures ({profile} profile), {simulated} of them **simulated** (column `simulated`), dated"
        f" {corpus['date_obs'].min()} to {corpus['date_obs'].max()} UTC. Days and sunspot regions never stand in two"
        " splits. `facts` are statements with their source, `boxes` pixels (x0, y0, x1, y1), y down, by NOAA number.",
        "| observatory | instrument | measurement | kind | split | pictures |\n|---|---|---|---|---|---|\n"
        + "\n".join("| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)),
        "## Files\n\n" + "\n".join(f"- `{name}`: {n} records" for name, n in sorted(counts.items())),
        *([SFT_NOTE] if any(name.startswith("sft/") for name in counts) else []),
        "## Credits\n\n" + "\n".join(f"- {line}" for line in credits_of(corpus)),
        "Numbers of regions from 19000 on are the simulator's and belong to no real region.",
    ]
    return "\n\n".join(lines) + "\n"


def credits_of(corpus: pd.DataFrame) -> list[str]:
    """Credit lines of the instruments of the observed pictures; NOAA's where summaries were read."""
    names = corpus.loc[~corpus["simulated"], ["observatory", "instrument", "measurement"]].drop_duplicates()
    rows = [instruments.find_instrument(*name) for name in names.itertuples(index=False)]
    found = {row.credit for row in rows if row is not None}
    found |= {"NOAA, GOES XRS"} if (corpus["instrument"] == "XRS").any() else set()
    return sorted(found | {"NOAA/SWPC, Solar Region Summaries"})


def _size(n: int) -> str:
    limits = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for limit, name in limits if n < limit), "n>1M")


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 with one clear line on standard error where it cannot be done."""
    parser = argparse.ArgumentParser(description="Export a run for datasets, ms-swift, TRL and LLaVA.")
    parser.add_argument("run_dir", help="folder of the run, such as outputs/tiny")
    parser.add_argument("--to", help="folder to write; default: RUN_DIR/export")
    given = parser.parse_args(arguments)
    try:
        counts = export_run(given.run_dir, given.to or Path(given.run_dir) / "export")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(counts, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
