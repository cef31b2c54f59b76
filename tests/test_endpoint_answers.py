"""The benchmark's questions at an endpoint: the right picture with the right question, lossless; failures counted."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from PIL import Image

from conftest import run_chain
from jwvl_lib import asking, endpoint_answers

COLOURS = [(10, 20, 30), (200, 100, 7)]


@pytest.fixture
def served():
    """base_url and what was asked of a server that answers the first pixel and the question; "fail…" gets HTTP 400."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append(body)
            picture, question = (part for part in body["messages"][0]["content"])
            raw = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
            said = f" {Image.open(io.BytesIO(raw)).getpixel((0, 0))} {question['text']}\n"
            reply = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
            reply["choices"] = [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
            ]
            sent = json.dumps(reply).encode()
            self.send_response(400 if question["text"].startswith("fail") else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_question_goes_with_its_picture_and_answers_keep_their_order(served):
    base_url, heard = served
    images, index = [Image.new("RGB", (4, 4), colour) for colour in COLOURS], [k % 2 for k in range(30)]
    questions = [f"哪一层？ {k}" for k in range(30)]
    answers = endpoint_answers.answer(images, questions, index, base_url=base_url, model="m", max_new_tokens=5)
    assert answers == [f"{COLOURS[k % 2]} {question}" for k, question in enumerate(questions)]
    assert {(b["model"], b["temperature"], b["max_tokens"]) for b in heard} == {("m", 0, 5)}


def test_a_question_without_an_answer_is_empty_and_logged_and_none_at_all_is_an_error(served, caplog):
    base_url, _ = served
    images = [Image.new("RGB", (4, 4))]
    answers = endpoint_answers.answer(images, ["a", "fail b", "c"], [0, 0, 0], base_url=base_url, model="m")
    assert answers == ["(0, 0, 0) a", "", "(0, 0, 0) c"]
    assert "1 of 3 questions without an answer" in caplog.text
    with pytest.raises(ConnectionError, match=r"answered none of 2 questions .*is it up"):
        endpoint_answers.answer(images, ["fail", "fail"], [0, 0], base_url=base_url, model="m")


def test_predictions_of_an_endpoint_have_no_choice_by_likelihood():
    row = dict(image_id="i", task="qa", prompt_id="p", language="en", split="test", group_id="g", simulated=True)
    choices = {"question": "q", "target": "yes", "choices": '["yes", "no"]'}
    items = pd.DataFrame([{"annotation_id": "a"} | row | choices])
    (done,) = asking.ask(items, lambda i: None, lambda *asked: ["yes"], None, "tuned").itertuples()
    assert (done.correct, done.choice) == (True, "")
    assert pd.isna(done.choice_correct)
    assert pd.isna(done.choice_probability)


@pytest.mark.chain
@pytest.mark.slow
@pytest.mark.parametrize("where", ["at an endpoint", "in this process"])
def test_the_notebook_runs_at_an_endpoint_and_on_some_of_the_tasks(served, smoke_outputs, tmp_path, where):
    for stage in ("01_corpus_curation", "03_review", "04_training"):
        (tmp_path / "smoke").mkdir(exist_ok=True)
        (tmp_path / "smoke" / stage).symlink_to(smoke_outputs / "smoke" / stage)
    asked = ["-p", "max_images", "4", "-p", "solar_images", "4"]
    if where == "at an endpoint":
        asked += ["-p", "endpoint", served[0], "-p", "endpoint_model", "base,tuned"]
    else:
        asked += ["-p", "tasks", "ocr,description"]
    done = run_chain(tmp_path, "--from", "05", "--to", "05", *asked, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    solar = json.loads((tmp_path / "smoke" / "05_benchmark" / "solar_tasks.json").read_text(encoding="utf-8"))
    models = {row["model"] for row in solar["scores"]}
    assert "tuned greedy" in models
    assert ("tuned choice" in models) == (where == "in this process"), "what was not asked is no wrong answer"
