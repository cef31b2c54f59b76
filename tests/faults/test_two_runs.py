"""Two runs of one stage in one folder at once: each is done or refuses in one line; what stands is one whole result."""

import time

import pytest
import records
import warm
from cases import STAGES, share

N_PAIRS = dict(zip(STAGES, (2, 2, 3, 3, 2, 1, 3, 3), strict=True))


@pytest.mark.parametrize("stage", STAGES)
def test_two_runs_at_once_leave_one_whole_result(stage, whole, fresh, row, rng):
    counts = row("two runs at once", stage)
    for _ in range(share(N_PAIRS[stage])):
        root = fresh(stage)
        folder = root / warm.SMALL["run_id"] / stage
        first = warm.fork(warm.stage_run(stage, root), root / "first")
        moment = rng.choice((0.0, rng.uniform(0, 0.9))) * whole.cpu_s[stage]
        while not first.ended() and first.cpu_s() < moment:
            time.sleep(0.01)
        second = warm.fork(warm.stage_run(stage, root), root / "second")
        ends = [first.wait(), second.wait()]
        clear = all(e.code == 0 or (e.code == 1 and len(e.errors) == 1) for e in ends)
        lie = records.standing(stage, root / warm.SMALL["run_id"])
        again = warm.fork(warm.stage_run(stage, root), root / "said").wait()
        found = records.damage(stage, folder, whole.run_dir / stage) if again.code == 0 else None
        counts.n += 1
        ok = clear and not lie and again.code == 0 and not found and any(e.code == 0 for e in ends)
        counts.survived += ok
        counts.silent += not clear or bool(lie) or bool(found)
        if found:
            counts.lost, counts.doubled = counts.lost + found.lost, counts.doubled + found.doubled
        said = [(e.code, e.errors or e.said[-1500:]) for e in (*ends, again)]
        assert ok, f"second begun after {moment:.2f} CPU s: {said} {lie} {found}"
