"""The bars of the tiny profile, held against a finished run (`JWVL_TESTED_RUN`, set by tests/run_all.sh).

The figures are of simulated days, n printed in the table of the run: they show that the chain teaches what it should
teach, and are no result.
"""

import json
import os
from pathlib import Path

import pytest

from jwvl_lib import bench

RUN = os.environ.get("JWVL_TESTED_RUN", "")

pytestmark = [
    pytest.mark.chain,
    pytest.mark.skipif(not RUN, reason="JWVL_TESTED_RUN is not set: `make test` runs the tiny chain and sets it"),
]


@pytest.fixture(scope="module")
def bars() -> dict[str, bool]:
    return bench.bars(json.loads((Path(RUN) / "05_benchmark" / "metrics.json").read_text()))


def test_every_bar_of_the_tiny_profile_holds(bars):
    assert len(bars) >= 6
    assert [name for name, holds in bars.items() if not holds] == []
