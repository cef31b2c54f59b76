"""Fixtures that several heavy tests share."""

import os
import tarfile
from functools import partial

import pytest

from jwvl_lib import performance


@pytest.fixture(scope="session")
def archive(shared_data, tmp_path_factory):
    """Folder of the summaries and event lists of 2008-2015, unpacked."""
    folder = tmp_path_factory.mktemp("archive")
    for name in ("srs_2008_2015", "events_2008_2015"):
        with tarfile.open(shared_data / "swpc_text_archive" / f"{name}.tar.gz") as tar:
            tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def tally() -> dict:
    """What the cases of one parametrised test have found so far, for a record of them all."""
    return {}


@pytest.fixture(scope="session")
def record():
    """`record(row, value, bar, n, pairs=..., unit=..., note=...)` leaves a row's record in the folder JWVL_RECORDS.

    Called before a test asserts, so that a figure that falls short is recorded too. Writes nothing where it is unset.
    """
    folder = os.environ.get("JWVL_RECORDS")
    return partial(performance.write_record, folder) if folder else lambda *_, **__: None
