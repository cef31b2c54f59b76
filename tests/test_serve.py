"""The OpenAI-compatible server, started as a user starts it."""

import base64
import io
import json
import threading
from functools import partial

import openai
import pytest
import torch
from servers import free_port, running
from test_chat import conversation, day, room  # noqa: F401

from jwvl_lib import (
    artifacts,
    chat,
    chat_endpoint,
    endpoint_answers,
    general_task,
    merge,
    serve,
    teacher,
    teacher_ledger,
    tuning,
    vlm,
)
from jwvl_lib.teacher_client import Limits, ask_all
from jwvl_lib.teacher_ledger import Request

MODEL = "models/tiny_base"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "models/nope"], "no model in 'models/nope'"),
        (["--adapter", "models"], "no adapter_config.json"),
        (["--dtype", "float31"], "Unsupported dtype: 'float31'"),
    ],
)
def test_what_cannot_be_served_is_one_line(capfd, arguments, says):
    assert serve.main([*arguments, "--port", str(free_port())]) == 2
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert says in told[0]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory):
    port, folder = free_port(), tmp_path_factory.mktemp("serve")
    command = ["jwvl_lib.serve", "--model", MODEL, "--port", str(port)]
    with running(command, port, "health", folder, artifacts.REPO) as url:
        yield f"{url}/v1"


@pytest.mark.slow
def test_openai_client_lists_the_model_and_gets_an_answer(base_url):
    client = openai.OpenAI(base_url=base_url, api_key="none")
    assert [m.id for m in client.models.list()] == [MODEL]
    item = next(i for i in general_task.make_items(40, 5) if i.task == "colour" and i.choices)
    reply = client.chat.completions.create(model=MODEL, max_tokens=32, temperature=0, messages=[_asked(item)])
    assert reply.choices[0].message.content == item.answer


@pytest.mark.slow
def test_the_teachers_client_speaks_its_wire_format(base_url, tmp_path):
    """The tiny model writes no JSON, so its answers are invalid; that they come as HTTP 200 with text is the point."""
    (tmp_path / "sun.png").write_bytes(_png(general_task.make_items(1, 5)[0].image))
    parameters = json.dumps(teacher.OPENAI_PARAMETERS | {"max_tokens": 8})
    asked = ("description", 1, "en", MODEL, parameters, "Answer in JSON.")
    ask_all(
        [Request("sun", "sha", *asked, "Describe the image.")],
        tmp_path / "teacher.sqlite",
        images_of=lambda request: [tmp_path / "sun.png"],
        choices_of=lambda request: (),
        base_url=base_url,
        limits=Limits(requests_per_minute=6000),
    )
    assert teacher_ledger.counts(tmp_path / "teacher.sqlite") == {"requests": 1, "attempts": 4, "invalid": 4}
    letter = teacher_ledger.dead_letters(tmp_path / "teacher.sqlite").iloc[0]
    assert (letter["http_status"], letter["outcome"]) == (200, "invalid")
    assert letter["raw"]


@pytest.mark.slow
def test_the_benchmark_gets_the_answers_it_would_get_in_this_process(base_url):
    items = general_task.make_items(3, 5)
    asked = [i.image for i in items], [i.question for i in items], range(3)
    here = vlm.answer(vlm.load_model(MODEL), vlm.load_processor(MODEL), *asked, max_new_tokens=12)
    assert endpoint_answers.answer(*asked, base_url=base_url, model=MODEL, max_new_tokens=12) == here


@pytest.mark.slow
def test_the_chat_speaks_its_wire_format(base_url, room, conversation):  # noqa: F811
    served = chat.Room(room.report, room.pictures, base_url=base_url, model=MODEL)
    steps = list(chat.ask(served, conversation, "Describe the image.", ["img0", "img1"]))
    assert (steps[-1]["state"], steps[-1]["reason"]) == ("done", "")
    assert steps[-1]["model"] == MODEL
    assert steps[-1]["sentences"]  # the tiny base's words, or that it gave none: it has never seen a system message
    steps = list(chat.ask(served, conversation, "Why?"))  # a second turn, with the first one before it
    assert steps[-1]["state"] == "done"


@pytest.mark.slow
def test_an_answer_streams_over_the_wire_piece_by_piece(base_url):
    """Read by the chat's own client, several pieces that together are the words of the whole answer."""
    item = next(i for i in general_task.make_items(40, 5) if i.task == "ocr")
    pieces = list(chat_endpoint.stream([_asked(item)], base_url, MODEL, threading.Event()))
    client = openai.OpenAI(base_url=base_url, api_key="none")
    whole = client.chat.completions.create(model=MODEL, max_tokens=200, temperature=0, messages=[_asked(item)])
    assert len([p for p in pieces if p]) > 2
    assert "".join(pieces).strip() == whole.choices[0].message.content.strip()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """An adapter that changes what the base says, and the model that carries it."""
    torch.manual_seed(0)
    folder, model = tmp_path_factory.mktemp("tuned") / "adapter", tuning.prepare(MODEL, "lora", 4, 8)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    tuning.save(model, folder)
    return folder, model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["merged", "beside its base"])
def test_a_tuned_model_says_over_the_wire_what_it_says_here(adapter, tmp_path, way):
    folder, model = adapter
    items, processor = general_task.make_items(6, 9), vlm.load_processor(MODEL)
    asked = [i.image for i in items], [i.question for i in items], range(len(items))
    here = vlm.answer(model, processor, *asked, max_new_tokens=12)
    assert here != vlm.answer(vlm.load_model(MODEL), processor, *asked, max_new_tokens=12)
    served, options = MODEL, ["--adapter", str(folder)]
    if way == "merged":
        merge.merge(MODEL, folder, tmp_path / "merged", n_items=2)
        served, options = str(tmp_path / "merged"), []
    port = free_port()
    command = ["jwvl_lib.serve", "--model", served, *options, "--port", str(port)]
    with running(command, port, "health", tmp_path, artifacts.REPO) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        ask = partial(client.chat.completions.create, model=served, max_tokens=12, temperature=0)
        there = [ask(messages=[_asked(item)]).choices[0].message.content for item in items]
    assert [text.strip() for text in there] == here


def _asked(item):
    url = "data:image/png;base64," + base64.b64encode(_png(item.image)).decode()
    picture = {"type": "image_url", "image_url": {"url": url}}
    return {"role": "user", "content": [picture, {"type": "text", "text": item.question}]}


def _png(image):
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()
