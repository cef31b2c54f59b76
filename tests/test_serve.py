"""The OpenAI-compatible server, started as a user starts it."""

import base64
import io
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import openai
import pytest

from jwvl_lib import artifacts, general_task

MODEL = "models/tiny_base"


@pytest.fixture(scope="module")
def base_url():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "jwvl_lib.serve", "--model", MODEL, "--port", str(port)]
    with subprocess.Popen(command, cwd=artifacts.REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            _wait_until_healthy(server, f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def _wait_until_healthy(server, url, seconds=120):
    for _ in range(seconds * 4):
        if server.poll() is not None:
            pytest.fail(f"server ended: {server.stdout.read().decode()[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.25)
    pytest.fail(f"{url} not healthy after {seconds} s")


@pytest.mark.slow
def test_openai_client_lists_the_model_and_gets_an_answer(base_url):
    client = openai.OpenAI(base_url=base_url, api_key="none")
    assert [m.id for m in client.models.list()] == [MODEL]
    item = next(i for i in general_task.make_items(40, 5) if i.task == "colour" and i.choices)
    png = io.BytesIO()
    item.image.save(png, "PNG")
    url = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
    reply = client.chat.completions.create(
        model=MODEL,
        max_tokens=32,
        temperature=0,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": url}},
                    {"type": "text", "text": item.question},
                ],
            }
        ],
    )
    assert reply.choices[0].message.content == item.answer
