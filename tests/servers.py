"""Servers of this machine as a person starts them: a free port, a process, its first answer, its end."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from jwvl_lib import artifacts

WAIT_S = 120  # a busy machine takes its time to start one


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(arguments: list[str], port: int, answers_at: str, folder: Path, cwd: Path, **environment) -> Iterator[str]:
    """`http://127.0.0.1:port` of `python -m arguments`, from its first answer at a path to the end of the block.

    What the server says stands in `folder/server.log`; with the last of it a server that ends early is a failure.
    """
    paths = os.pathsep.join([str(artifacts.REPO), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | environment
    with (folder / "server.log").open("w") as log:
        command = [sys.executable, "-m", *arguments]
        server = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/{answers_at}", server, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if server.poll() is not None:
            pytest.fail(f"the server ended before it answered: {log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"{url} did not answer within {WAIT_S} s")


@contextmanager
def notebook_server(app: str, folder: Path, *cells: nbformat.NotebookNode) -> Iterator[str]:
    """The address at which `folder/page.ipynb`, made of these cells, opens in voila, lab or notebook."""
    page = nbformat.v4.new_notebook(cells=list(cells))
    page.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(page, folder / "page.ipynb")
    command, path = {
        "voila": ("voila page.ipynb --Voila.ip=127.0.0.1 --port={}", ""),
        "lab": ("jupyterlab --allow-root --ServerApp.ip=127.0.0.1 --ServerApp.port={}", "lab/tree/page.ipynb"),
        "notebook": ("notebook --allow-root --ServerApp.ip=127.0.0.1 --ServerApp.port={}", "notebooks/page.ipynb"),
    }[app]
    port = free_port()
    arguments = [*command.format(port).split(), "--no-browser"]
    arguments += [] if app == "voila" else ["--IdentityProvider.token="]
    with running(arguments, port, "api/status", folder, folder, JUPYTER_CONFIG_DIR=str(folder / ".cfg")) as url:
        yield f"{url}/{path}"
