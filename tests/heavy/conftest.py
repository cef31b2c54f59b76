"""Fixtures that several heavy tests share."""

import tarfile

import pytest


@pytest.fixture(scope="session")
def archive(shared_data, tmp_path_factory):
    """Folder of the summaries and event lists of 2008-2015, unpacked."""
    folder = tmp_path_factory.mktemp("archive")
    for name in ("srs_2008_2015", "events_2008_2015"):
        with tarfile.open(shared_data / "swpc_text_archive" / f"{name}.tar.gz") as tar:
            tar.extractall(folder, filter="data")
    return folder
