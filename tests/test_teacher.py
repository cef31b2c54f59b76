"""Teachers: grounded answers follow from the facts; the server's are paid for once."""

import asyncio
import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from PIL import Image

from jwvl_lib import facts, grounded, teacher, teacher_ledger
from jwvl_lib.artifacts import REPO
from jwvl_lib.facts import Fact
from jwvl_lib.prompts import load_prompts
from jwvl_lib.teacher_client import Limits, TeacherError
from jwvl_lib.teacher_plan import build_requests, estimate, offering, plan
from jwvl_lib.teacher_replies import parse_reply

PROMPTS = load_prompts(REPO / "params" / "prompts")
VIEWS = [
    ("SDO", "HMI", "magnetogram", "photosphere"), ("SDO", "HMI", "continuum", "photosphere"),
    ("SDO", "AIA", "171", "corona"), ("GONG", "GONG", "H-alpha", "chromosphere"),
]  # fmt: skip
# a day: NOAA number, area, quadrant, leading polarity of its regions
DAYS = {
    "2014-02-03": [(19001, 300, "NE", "positive"), (19002, 40, "SW", "negative"), (19003, 10, "SE", "negative")],
    "2014-02-04": [(19004, 90, None, "negative")],
    "2014-02-05": [],
    "2014-02-06": [(19005, 50, "NW", "positive"), (19006, 50, "SE", "negative")],  # no largest
}


def region_facts(number, area, quadrant, polarity):
    yield Fact("noaa_ar", number, number)
    yield Fact("area_msh", area, number)
    yield Fact("mcintosh_class", "Dko", number)
    yield Fact("leading_polarity", polarity, number)
    if quadrant:
        yield Fact("quadrant", quadrant, number)


def image_row(folder, image_id, image_facts):
    path = folder / "images" / f"{image_id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(hashlib.sha256(image_id.encode()).digest()[:3])
    Image.new("RGB", (28, 28), colour).save(path)
    return {
        "image_id": image_id, "path": f"images/{image_id}.png", "width": 28, "height": 28,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "facts": facts.to_json(image_facts),
    }  # fmt: skip


@pytest.fixture
def corpus(tmp_path):
    rows = []
    for day, regions in DAYS.items():
        for observatory, instrument, measurement, layer in VIEWS:
            name = f"{observatory}/{instrument}" if observatory != instrument else observatory
            image_facts = [
                Fact("observatory", observatory), Fact("instrument", instrument), Fact("measurement", measurement),
                Fact("layer", layer), Fact("date_obs", f"{day}T04:12:30"), Fact("n_regions", len(regions)),
                Fact("banner_text", f"{name} {measurement}\n{day} 04:12 UT"),
                *(fact for region in regions for fact in region_facts(*region)),
            ]  # fmt: skip
            rows.append(image_row(tmp_path, f"{day}_{instrument}_{measurement}", image_facts))
    rows.append(image_row(tmp_path, "nothing_known", [Fact("banner_text", "2014-02-03 04:12 UT")]))
    return pd.DataFrame(rows)


@pytest.fixture
def annotations(corpus, tmp_path):
    return teacher.annotate(corpus, PROMPTS, ledger=tmp_path / "t.sqlite", qa_per_image=20)


def facts_of(corpus):
    return {row.image_id: facts.from_json(row.facts) for row in corpus.itertuples()}


def claims_of(annotations, verdict=None):
    found = [c for text in annotations.claims for c in json.loads(text)]
    return [c for c in found if verdict in (None, c["verdict"])]


# --------------------------------------------------------------------------------------------------------------------
# grounded


def test_every_grounded_answer_can_be_recomputed_and_every_claim_is_supported(corpus, annotations):
    known = facts_of(corpus)
    for row in annotations.to_dict("records"):
        assert grounded.recompute(row, PROMPTS[row["prompt_id"]], known[row["image_id"]]), row
    assert len(claims_of(annotations)) > 300
    assert claims_of(annotations) == claims_of(annotations, "supported")
    said = annotations[annotations.image_id != "nothing_known"]
    assert all(json.loads(c) for c in said.claims)


def test_a_tampered_answer_is_not_recomputable(corpus, annotations):
    known = facts_of(corpus)
    for row in annotations[annotations.task == "qa"].to_dict("records"):
        other = next(c for c in json.loads(row["choices"]) if c != row["answer"])
        prompt = PROMPTS[row["prompt_id"]]
        assert not grounded.recompute({**row, "answer": other}, prompt, known[row["image_id"]])


def test_chinese_and_english_rest_on_the_same_facts(annotations):
    assert set(annotations.language) == {"zh", "en"}
    for _, pair in annotations.groupby(["image_id", "prompt_id"]):
        ids = [{c["fact_id"] for c in json.loads(text)} for text in pair.claims]
        assert len(pair) == 2
        assert ids[0] == ids[1]


def test_nothing_invisible_is_written_but_where_a_guess_is_asked_for(annotations):
    guessed = annotations.prompt_id.str.endswith("_likeliest")
    assert "1900" not in " ".join([*annotations.answer, *annotations.steps])
    assert "Dko" not in " ".join([*annotations.answer[~guessed], *annotations.steps[~guessed]])
    assert "Dko" in " ".join(annotations.answer[guessed])
    assert annotations.question[guessed].str.contains("likeliest|最可能").all()


def test_absences_are_stated_and_unknowns_left_out(annotations):
    said = annotations.set_index(["image_id", "prompt_id", "language"]).answer
    assert said["2014-02-05_HMI_continuum", "qa.spots_visible", "zh"] == "否"
    assert "no active regions" in said["2014-02-05_AIA_171", "description", "en"].lower()
    asked = annotations.groupby("image_id").prompt_id.agg(set)
    assert asked["nothing_known"] == {"description", "ocr"}
    assert said["nothing_known", "description", "en"] == "Solar image."
    assert "qa.largest_quadrant" not in asked["2014-02-04_AIA_171"] | asked["2014-02-06_AIA_171"]
    assert "qa.leading_polarity" in asked["2014-02-04_HMI_magnetogram"]
    assert "qa.leading_polarity" not in asked["2014-02-04_HMI_continuum"]


def test_closed_questions_list_their_choices_in_varied_order(annotations):
    layers = annotations[(annotations.prompt_id == "qa.layer") & (annotations.language == "en")]
    assert layers.question.str.endswith(" / ".join(json.loads(layers.choices.iloc[0])) + ".").any()
    assert layers.choices.nunique() > 3
    assert annotations.annotation_id.is_unique


def test_only_channels_of_the_training_split_are_offered(corpus):
    """What is never the answer gives itself away; with too few to choose from the prompt's own list stands."""
    taught = corpus[corpus.image_id.str.contains("magnetogram|171")].assign(split="train")
    others = corpus[corpus.image_id.str.contains("continuum")].assign(split="test")
    offered = offering(pd.concat([taught, others]), PROMPTS)
    assert offered["qa.measurement"].text["choices"] == ["SDO/HMI magnetogram", "SDO/AIA 171"]
    assert offered["qa.instrument"].text["choices"] == ["AIA", "HMI"]
    assert offered["qa.layer"] is PROMPTS["qa.layer"]
    unlisted = taught.assign(facts=taught.facts.str.replace('"SDO"', '"SOHO"').str.replace('"HMI"', '"MDI"'))
    both = offering(pd.concat([taught, unlisted]), PROMPTS)["qa.measurement"].text["choices"]
    assert "SOHO/MDI magnetogram" in both  # not in the prompt's list, yet no answer stands only where it is right
    few = offering(taught[:1], PROMPTS)
    assert few["qa.measurement"].text["choices"] == PROMPTS["qa.measurement"].text["choices"]


def test_the_plan_of_an_image_does_not_depend_on_the_others(corpus):
    whole = plan(corpus, PROMPTS, seed=3)
    alone = plan(corpus.iloc[[5]], PROMPTS, seed=3)
    assert [q for q in whole if q.image_id == corpus.image_id[5]] == alone
    assert plan(corpus, PROMPTS, seed=4) != whole


def test_what_few_pictures_can_be_asked_is_asked_of_all_of_them(corpus):
    """A question that few pictures answer would else be left to chance beside those that every picture answers."""
    scarce = {name: prompt for name, prompt in PROMPTS.items() if prompt.text.get("scarce")}
    assert len(scarce) == 4
    asked = {(q.image_id, q.prompt.prompt_id) for q in plan(corpus, PROMPTS, seed=3, qa_per_image=2)}
    for name, prompt in scarce.items():
        able = {i for i, known in facts_of(corpus).items() if grounded.truth(prompt, known) is not None}
        assert {(i, name) for i in able} <= asked
        assert len(able) < len(corpus) / 2
    assert {name for _, name in asked} > {"qa.instrument", "qa.layer", "qa.region_count"}


def test_a_rerun_gives_the_same_frame_and_adds_nothing_to_the_ledger(corpus, tmp_path, annotations):
    before = teacher_ledger.counts(tmp_path / "t.sqlite")
    again = teacher.annotate(corpus, PROMPTS, ledger=tmp_path / "t.sqlite", qa_per_image=20)
    elsewhere = teacher.annotate(corpus, PROMPTS, ledger=tmp_path / "other.sqlite", qa_per_image=20)
    pd.testing.assert_frame_equal(again, annotations)
    pd.testing.assert_frame_equal(elsewhere, annotations)
    assert teacher_ledger.counts(tmp_path / "t.sqlite") == before
    assert before["attempts"] == before["answered"] == len(annotations)
    assert list(annotations.columns) == teacher.COLUMNS


def test_an_unknown_teacher_or_a_missing_model_is_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match="use one of grounded, openai"):
        teacher.annotate(corpus, PROMPTS, ledger=tmp_path / "t.sqlite", teacher="oracle")
    with pytest.raises(ValueError, match="set teacher_model"):
        teacher.annotate(corpus, PROMPTS, ledger=tmp_path / "t.sqlite", teacher="openai")


# --------------------------------------------------------------------------------------------------------------------
# a server


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        ("not json", "JSON"),
        ('{"answer": "x"}', "observe"),
        ('{"observe":"a","identify":"b","analyse":"c","conclude":"d","answer":"mars"}', "none of the choices"),
    ],
)
def test_a_wrong_reply_is_refused(raw, wrong):
    with pytest.raises(ValueError, match=wrong):
        parse_reply(raw, ["corona"])


def test_a_reply_may_come_fenced_or_after_thoughts():
    raw = json.dumps({"observe": "a", "identify": "b", "analyse": "c", "conclude": "d", "answer": "corona"})
    for text in (raw, f"```json\n{raw}\n```", f"<think>hm {{}}</think>\n{raw}"):
        assert parse_reply(text, ["corona"]).steps == ["a", "b", "c", "d"]


class Server:
    """A chat-completions server; `script` gives the status or the fault of the n-th request, then all go well.

    An entry that is a list is all the faults of one question, the n-th to come.
    """

    def __init__(self, script=()):
        self.script, self.of_question = list(script), {}
        self.bodies, self.times, self.lock = [], [], threading.Lock()
        self.at_once = self.most_at_once = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    fault = outer.fault_of(body["messages"][-1]["content"][-1]["text"])
                    outer.bodies.append(body)
                    outer.times.append(time.monotonic())
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                time.sleep(0.02)
                status, reply = (fault, {"error": {"message": f"fault {fault}"}})
                if not isinstance(fault, int):
                    status, reply = 200, outer.completion("{wrong" if fault == "json" else outer.answer(body))
                with outer.lock:
                    outer.at_once -= 1
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(reply).encode())

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def fault_of(self, text):
        if text not in self.of_question:
            fault = self.script.pop(0) if self.script else None
            self.of_question[text] = fault if isinstance(fault, list) else []
            if not isinstance(fault, list):
                return fault
        elif not self.of_question[text]:
            return self.script.pop(0) if self.script and not isinstance(self.script[0], list) else None
        return self.of_question[text].pop(0)

    @staticmethod
    def answer(body):
        text = body["messages"][1]["content"][1]["text"].splitlines()[-1]
        answer = "This is the photosphere."
        for mark in ("Choose from: ", "从中选择："):
            if mark in text:
                answer = text.partition(mark)[2].rstrip(".。").split(" / ")[0]
        return json.dumps({"observe": "a", "identify": "b", "analyse": "c", "conclude": "d", "answer": answer})

    @staticmethod
    def completion(content):
        message = {"role": "assistant", "content": content}
        return {
            "id": "c1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        }  # fmt: skip


def data_url(path):
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


@pytest.fixture
def serve():
    servers = []

    def start(*script):
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()


def ask(server, corpus, folder, n_images=1, **options):
    fast = {"requests_per_minute": 60_000, "first_wait_s": 0.01}
    fast |= {name: options.pop(name) for name in vars(Limits()) if name in options}
    return teacher.annotate(
        corpus.iloc[:n_images], PROMPTS, ledger=folder / "o.sqlite", teacher="openai", model="m", base_url=server.url,
        images_dir=folder, limits=Limits(**fast), **{"qa_per_image": 4, **options},
    )  # fmt: skip


def test_a_server_is_asked_once_and_its_claims_are_judged(serve, corpus, tmp_path):
    server = serve()
    first = ask(server, corpus, tmp_path, n_images=2, concurrency=3)
    assert len(first) == len(server.bodies) == 16
    assert server.most_at_once <= 3
    assert server.bodies[0]["messages"][1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert set(first.teacher) == {"m"}
    described = claims_of(first[first.task == "description"])
    assert [c["verdict"] for c in described] == ["supported"] * 4
    pd.testing.assert_frame_equal(ask(server, corpus, tmp_path, n_images=2), first)
    assert len(server.bodies) == 16
    more = ask(server, corpus, tmp_path, n_images=3)
    assert len(server.bodies) == len(more) == 24


def test_busy_failing_and_babbling_servers_are_asked_again(serve, corpus, tmp_path):
    server = serve(429, 500, "json")
    found = ask(server, corpus, tmp_path, concurrency=1)
    assert len(found) == 8
    assert len(server.bodies) == 11
    assert server.times[1] - server.times[0] >= 1.0  # Retry-After
    outcomes = teacher_ledger.counts(tmp_path / "o.sqlite")
    assert outcomes == {
        "requests": 8, "attempts": 11, "answered": 8, "invalid": 1, "rate_limited": 1, "server_error": 1,
    }  # fmt: skip
    assert len(teacher_ledger.dead_letters(tmp_path / "o.sqlite")) == 0


def test_what_never_becomes_json_is_a_dead_letter_and_not_sent_again(serve, corpus, tmp_path):
    server = serve(["json"] * 4, [400])
    found = ask(server, corpus, tmp_path, concurrency=1)
    dead = teacher_ledger.dead_letters(tmp_path / "o.sqlite")
    assert len(found) == 6
    assert list(dead.outcome) == ["invalid", "refused"]
    assert list(dead.n_attempts) == [4, 1]
    sent = len(server.bodies)
    assert len(ask(server, corpus, tmp_path)) == 6
    assert len(server.bodies) == sent


def test_a_budget_bounds_requests_and_a_rerun_goes_on(serve, corpus, tmp_path):
    server = serve(500)
    assert len(ask(server, corpus, tmp_path, budget=4, concurrency=1)) == 3
    assert len(server.bodies) == 4
    assert len(ask(server, corpus, tmp_path)) == 8
    assert len(server.bodies) == 9


def test_a_refused_key_stops_the_run_at_once_and_loses_nothing(serve, corpus, tmp_path):
    server = serve(None, None, 401)
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        ask(server, corpus, tmp_path, concurrency=1)
    assert len(server.bodies) == 3
    assert len(ask(server, corpus, tmp_path)) == 8
    assert len(server.bodies) == 9


def test_requests_are_spaced(serve, corpus, tmp_path):
    server = serve()
    ask(server, corpus, tmp_path, requests_per_minute=600, concurrency=8)
    assert server.times[-1] - server.times[0] >= 0.4  # 8 requests, 0.1 s apart, two of them at once


def test_it_works_inside_a_running_event_loop(serve, corpus, tmp_path):
    server = serve()

    async def cell():
        return ask(server, corpus, tmp_path)

    assert len(asyncio.run(cell())) == 8


def test_the_estimate_counts_what_would_be_sent(corpus):
    questions = plan(corpus, PROMPTS)
    options = {"model": "m", "parameters": {}, "with_facts": True}
    requests = build_requests(corpus, questions, **options)
    cost = estimate(corpus, requests, requests_per_minute=60)
    assert cost["requests"] == len(questions)
    assert cost["hours"] == pytest.approx(len(questions) / 3600, abs=0.01)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_a_torn_ledger_is_named_and_never_written_over(tmp_path, share):
    path = tmp_path / "teacher.sqlite"
    with teacher_ledger.open_ledger(path):
        pass
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="teacher.sqlite is torn"), teacher_ledger.open_ledger(path) as db:
        teacher_ledger.n_sent(db)
    assert path.read_bytes() == before
