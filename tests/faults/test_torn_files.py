"""Files torn as a power cut tears them: shortened or with a stretch of zeros, in finished and in unfinished stages.

What must hold: the next run ends as an undisturbed one, or says in one line which file it cannot read; it never takes a
torn file for a whole one. Ledgers are cut only: SQLite mends by its log what a power cut tears in the middle of them,
and keeps no checksum by which zeros in a row could be seen.
"""

import shutil

import pytest
import records
import warm
from cases import STAGES, share

N_CASES = dict(zip(STAGES, (4, 4, 8, 8, 4, 2, 6, 6), strict=True))


def tear(path, rng) -> str:
    """Shorten a file, or lay zeros over a stretch of it; what was done."""
    raw = bytearray(path.read_bytes())
    if rng.random() < 0.6 or ".sqlite" in path.name:
        length = rng.randrange(len(raw))
        path.write_bytes(bytes(raw[:length]))
        return f"{path.name} cut to {length} of {len(raw)} bytes"
    start = rng.randrange(len(raw))
    end = min(len(raw), start + rng.choice((64, 4096)))
    raw[start:end] = bytes(end - start)
    path.write_bytes(bytes(raw))
    return f"{path.name}: zeros from {start} to {end} of {len(raw)} bytes"


def torn_stage(stage, whole, root, rng) -> str:
    """A stage that was finished, or struck in its middle, with one of its files torn; what was done to which."""
    folder = root / warm.SMALL["run_id"] / stage
    if rng.random() < 0.5:
        shutil.copytree(whole.run_dir / stage, folder)
    else:
        at = rng.randint(whole.n_writes[stage] // 3, whole.n_writes[stage])
        warm.fork(warm.struck_at_write(warm.stage_run(stage, root), root, at), root / "said").wait()
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size and p.name != "notebook.ipynb")
    return tear(rng.choice(files), rng) if files else "nothing to tear"


@pytest.mark.parametrize("stage", STAGES)
def test_a_torn_file_of_a_stage_is_made_anew_or_named(stage, whole, fresh, row, rng):
    counts = row("torn file", stage)
    for _ in range(share(N_CASES[stage])):
        root = fresh(stage)
        done = torn_stage(stage, whole, root, rng)
        folder = root / warm.SMALL["run_id"] / stage
        ended = warm.fork(warm.stage_run(stage, root), root / "said").wait()
        named = ended.code == 1 and len(ended.errors) == 1 and done.split(":")[0].split(" cut")[0] in ended.errors[0]
        found = records.damage(stage, folder, whole.run_dir / stage) if ended.code == 0 else None
        counts.n += 1
        counts.survived += named or (ended.code == 0 and not found)
        if found:
            counts.lost, counts.doubled = counts.lost + found.lost, counts.doubled + found.doubled
        counts.silent += bool(found) or (ended.code != 0 and not named)
        assert named or ended.code == 0, f"{done}: {ended.said[-2000:]}"
        assert not found, f"{done}: {found}"


READS = {"02_distillation": "01", "03_review": "01 02", "04_training": "01 03", "05_benchmark": "01 03 04"}
READS |= {"07_chat": "01 04 06"}


@pytest.mark.parametrize("stage", READS)
def test_a_torn_output_of_an_earlier_stage_is_refused_by_name(stage, whole, fresh, row, rng):
    counts = row("torn input", stage)
    for _ in range(share(3)):
        for number in READS[stage].split():
            root = fresh(stage)
            earlier = next(s for s in STAGES if s.startswith(number))
            folder = root / warm.SMALL["run_id"] / earlier
            folder.unlink()
            shutil.copytree(whole.run_dir / earlier, folder)
            done = tear(rng.choice(sorted(p for p in records.outputs(folder).values() if p.stat().st_size)), rng)
            ended = warm.fork(warm.stage_run(stage, root), root / "said").wait()
            named = ended.code == 1 and len(ended.errors) == 1 and earlier in ended.errors[0]
            if "zeros" in done and ended.code == 0:  # zeros over zeros: the same file
                named = not records.damage(stage, root / warm.SMALL["run_id"] / stage, whole.run_dir / stage)
            counts.n += 1
            counts.survived += named
            counts.silent += not named
            assert named, f"{done}: {ended.said[-2000:]}"
