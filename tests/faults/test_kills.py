"""SIGKILL at random moments of every stage, several in a row, then the run to its end: nothing lost, doubled, other.

Half of the blows fall when the process has used so much CPU, half at its n-th write (just before a file is opened for
writing, renamed, removed, a folder made or a database opened), which a seed repeats exactly. The whole process group
is struck, workers too.
"""

import time

import pytest
import records
import warm
from cases import STAGES, share

N_KILLS = dict(zip(STAGES, (26, 16, 38, 38, 14, 6, 34, 34), strict=True))  # 206; dear stages are struck less often
CHAIN = 8  # blows in a row, at most, before the run is let to its end


def struck(stage, root, whole, rng) -> tuple[warm.Ended, bool]:
    """One run with one blow in it: how it ended, and whether the blow fell before it was through."""
    if rng.random() < 0.5:
        work = warm.struck_at_write(warm.stage_run(stage, root), root, rng.randint(1, whole.n_writes[stage]))
        ended = warm.fork(work, root / "said").wait()
        return ended, ended.code == -9
    fork, moment = warm.fork(warm.stage_run(stage, root), root / "said"), rng.uniform(0.02, 1) * whole.cpu_s[stage]
    while not fork.ended():
        if fork.cpu_s() >= moment:
            ended = fork.kill()
            return ended, ended.code == -9
        time.sleep(0.005)
    return fork.wait(), False


@pytest.mark.parametrize("stage", STAGES)
def test_killed_again_and_again_then_run_to_the_end(stage, whole, fresh, row, rng):
    counts, goal = row("SIGKILL", stage), share(N_KILLS[stage])
    while counts.n < goal:
        root = fresh(stage)
        folder, known = root / warm.SMALL["run_id"] / stage, records.Counter()
        n_blows = 0
        for _ in range(rng.randint(3, CHAIN)):
            ended, fell = struck(stage, root, whole, rng)
            assert fell or ended.code == 0, ended.said[-3000:]
            n_blows += fell
            lie = records.standing(stage, root / warm.SMALL["run_id"])
            rows = records.ledger_rows(folder)
            counts.lost += sum((known - rows).values())
            counts.silent += bool(lie)
            assert not lie
            assert not known - rows, "rows of the ledger are gone"
            known = rows
            if not fell:
                break
        ended = warm.fork(warm.stage_run(stage, root), root / "said").wait()
        assert ended.code == 0, ended.said[-3000:]
        found = records.damage(stage, folder, whole.run_dir / stage)
        counts.n += n_blows
        counts.survived += 0 if found else n_blows
        counts.lost, counts.doubled = counts.lost + found.lost, counts.doubled + found.doubled
        counts.silent += bool(found)
        assert not found, f"{n_blows} blows: {found}"
