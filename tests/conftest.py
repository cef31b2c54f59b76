"""Fixtures that several test files share."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

REPO = Path(__file__).resolve().parents[1]

# a shared machine stalls now and then: an example may be slow, it may not be wrong
settings.register_profile("workshop", deadline=None)
settings.load_profile("workshop")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real observations and NOAA texts beside the checkout; they are no part of the project."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not there: tests on real archives need it")
    return folder


def run_chain(outputs: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    """`python -m jwvl_lib.run` with the smoke parameters, writing under `outputs`."""
    command = [sys.executable, "-m", "jwvl_lib.run", "-f", "params/smoke.yaml", *arguments]
    environment = {**os.environ, "JWVL_OUTPUTS": str(outputs)}
    return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="session")
def smoke_outputs(tmp_path_factory) -> Path:
    """Outputs folder of one whole chain with `params/smoke.yaml`, run once a session."""
    outputs = tmp_path_factory.mktemp("smoke")
    done = run_chain(outputs, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return outputs


@pytest.fixture(scope="module")
def one_thread():
    """At this size several threads only wait for each other, on a busy machine ten times as long as they work."""
    import torch  # here, so that tests without a model do not wait for it

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def chromium():
    """A running chromium; skipped with the reason where there is none, a failure where CI=true."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    missing = "chromium is not installed" if executable is None else ""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "playwright is not installed"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
