"""A disk that fills up in the middle of every stage, and is given room afterwards.

Where the kernel lets a process mount (a user namespace of its own), the stage's folder is a tmpfs of a random part of
what the stage needs: every layer (Python, SQLite, Arrow, Pillow, torch, safetensors) meets the kernel's own ENOSPC.
Elsewhere RLIMIT_FSIZE refuses every file above a random size (EFBIG). The table says which it was.
"""

import ctypes
import json
import os
import resource
from pathlib import Path

import pytest
import records
import warm
from cases import STAGES, share

N_CASES = dict(zip(STAGES, (3, 2, 4, 4, 2, 1, 4, 4), strict=True))
CLONE_NEWNS, CLONE_NEWUSER, MS_REMOUNT = 0x20000, 0x10000000, 32
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(folder: Path, size: int, flags: int = 0) -> None:
    """A tmpfs of so many bytes, or the one there with another size; OSError where it is not permitted."""
    if LIBC.mount(b"tmpfs", str(folder).encode(), b"tmpfs", flags, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "mount")


def own_mounts() -> None:
    """Leave the mounts of the machine: what is mounted from here on is seen by this process and its children only."""
    user = os.getuid(), os.getgid()
    if LIBC.unshare(CLONE_NEWNS | CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    for name, number in zip(("uid_map", "gid_map"), user, strict=True):
        Path(f"/proc/self/{name}").write_text(f"0 {number} 1")


def may_mount(folder: Path) -> bool:
    def attempt() -> int:
        own_mounts()
        mount(folder, 1 << 20)
        return 0

    return warm.fork(attempt, folder.parent / "may_mount.said").wait().code == 0


def needed(folder: Path) -> list[int]:
    """Sizes of the files of a finished stage, in whole blocks."""
    return [-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file()]


def on_small_disk(stage, root, size, undisturbed, folder):
    """The work of a fork: the stage on a disk of `size`, then on a roomy one; prints both ends and the damage."""

    def work() -> int:
        own_mounts()
        mount(folder, size)
        first = warm.fork(warm.stage_run(stage, root), root / "first").wait()
        lie = records.standing(stage, folder.parent)
        mount(folder, 1 << 28, MS_REMOUNT)
        return told(stage, root, first, lie, undisturbed, folder)

    return work


def under_limit(stage, root, size, undisturbed, folder):
    """The same where nothing can be mounted: no file may grow beyond `size` in the first run."""

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return warm.stage_run(stage, root)()

    def work() -> int:
        first = warm.fork(limited, root / "first").wait()
        return told(stage, root, first, records.standing(stage, folder.parent), undisturbed, folder)

    return work


def told(stage, root, first, lie, undisturbed, folder) -> int:
    second = warm.fork(warm.stage_run(stage, root), root / "second").wait()
    found = records.damage(stage, folder, undisturbed) if second.code == 0 else records.Damage(0, 0, ())
    ends = {"first": [first.code, first.errors], "lie": lie, "second": [second.code, second.errors]}
    ends |= {"lost": found.lost, "doubled": found.doubled, "differing": list(found.differing)}
    ends |= {"said": (first.said[-1500:] + second.said[-1500:]) if second.code or first.code not in (0, 1) else ""}
    print("\n" + json.dumps(ends))
    return 0


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_is_one_line_and_costs_nothing_once_there_is_room(stage, whole, fresh, row, rng, tmp_path):
    probe = tmp_path / "probe"
    probe.mkdir()
    real = may_mount(probe)
    counts = row("disk full, tmpfs" if real else "disk full, file size limit", stage)
    undisturbed = whole.run_dir / stage
    sizes = needed(undisturbed)
    for _ in range(share(N_CASES[stage])):
        root = fresh(stage)
        folder = root / warm.SMALL["run_id"] / stage
        folder.mkdir(parents=True)
        size = int(rng.uniform(0.02, 0.95) * (sum(sizes) if real else max(sizes)))
        make = on_small_disk if real else under_limit
        ended = warm.fork(make(stage, root, max(size, 4096), undisturbed, folder), root / "said").wait()
        assert ended.code == 0, ended.said
        ends = json.loads(ended.said.splitlines()[-1])
        (code, errors), again = ends["first"], ends["second"][0]
        silent = bool(ends["lie"]) or (code != 0 and len(errors) != 1) or (code == 0 and bool(ends["differing"]))
        counts.n += 1
        counts.lost, counts.doubled = counts.lost + ends["lost"], counts.doubled + ends["doubled"]
        counts.silent += silent
        counts.survived += again == 0 and not silent and not ends["differing"]
        assert again == 0 and not silent and not ends["differing"], f"{size} bytes: {ends}"  # noqa: PT018
