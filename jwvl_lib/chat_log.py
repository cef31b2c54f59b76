"""Conversations on disk: one append-only JSONL file each, written before anything is shown, read back after a reload.

Events are `question`, `sentence` and `end`, a line each. A line torn by a crash costs itself only: the next one starts
afresh, and a turn without its end is read back as interrupted.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from jwvl_lib import artifacts

NAME = re.compile(r"[0-9a-z][0-9a-z-]{0,59}")


def path_of(folder: Path, name: str) -> Path:
    """The file of a conversation; ValueError for a name that could lead out of the folder."""
    if not NAME.fullmatch(name):
        raise ValueError(f"conversation name {name[:80]!r}: use small letters, digits and hyphens, at most 60")
    return folder / f"{name}.jsonl"


def append(path: Path, event: dict) -> None:
    """Add one event as a line and have it on disk before returning; several processes may write to one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace")
    is_new = not path.exists()
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if size := file.seek(0, os.SEEK_END):
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        artifacts.sync_folder(path.parent)


def read(path: Path) -> list[dict]:
    """The turns of a conversation, in order; an empty list where there is none yet."""
    if not path.is_file():
        return []
    return fold(_events(path.read_bytes()))


def _events(raw: bytes) -> Iterable[dict]:
    for line in raw.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("turn"), str):
            yield event


def fold(events: Iterable[dict]) -> list[dict]:
    """Events as turns: the question's fields, `sentences`, and the end's (`state` is interrupted without one)."""
    turns: dict[str, dict] = {}
    for event in events:
        kind, rest = event.get("event"), {k: v for k, v in event.items() if k != "event"}
        if kind == "question":
            turns.setdefault(event["turn"], {**rest, "sentences": [], "state": "interrupted"})
        elif event["turn"] in turns and kind == "sentence":
            turns[event["turn"]]["sentences"].append({k: v for k, v in rest.items() if k != "turn"})
        elif event["turn"] in turns and kind == "end":
            turns[event["turn"]].update(rest)
    return list(turns.values())
