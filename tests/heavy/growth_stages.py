"""Each stage's work on n small records, and what it cost: processor seconds and memory above what stood before.

Every case runs in a process of its own, forked from one that has the libraries imported (`measured`), so that one case
leaves nothing to the next. What makes the records is outside the clock. Used by `test_growth.py`.
"""

import gc
import json
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import artifacts, facts

PRELOADED = (
    "torch transformers pandas pyarrow.parquet sunpy.map jwvl_lib.corpus jwvl_lib.teacher jwvl_lib.panel"
    " jwvl_lib.vlm jwvl_lib.samples jwvl_lib.bench jwvl_lib.report_archive jwvl_lib.chat"
).split()
REGIONS = [(19001, 300, "NE"), (19002, 40, "SW"), (19003, 10, "SE")]


def measured(case, folder: Path, n: int, *given) -> dict[str, dict]:
    """`case(folder, n, *given)` prepares and returns its work, one callable or several by name, done in their order.

    Returns the cost of each as {n, cpu_s, peak_mib}, by its name, that of a single one by the name of the case. Where
    all of it takes less than a second, the least of three tries: other processes empty the caches.
    """
    costs = _once(case, folder, n, given)
    if sum(cost["cpu_s"] for cost in costs.values()) < 1:
        tries = [costs, _once(case, folder, n, given), _once(case, folder, n, given)]
        costs = {k: {"cpu_s": min(t[k]["cpu_s"] for t in tries), "peak_mib": costs[k]["peak_mib"]} for k in costs}
    return {name: {"n": n} | cost for name, cost in costs.items()}


def _once(case, folder: Path, n: int, given) -> dict[str, dict]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    folder.mkdir(parents=True)
    process = context.Process(target=_in_process, args=(case, folder, n, given))
    process.start()
    process.join()
    assert process.exitcode == 0, f"{case.__name__} of {n} ended with {process.exitcode}"
    costs = json.loads((folder / "cost.json").read_text())
    shutil.rmtree(folder)
    return costs


def _in_process(case, folder, n, given):
    import torch

    torch.set_num_threads(1)
    made = case(folder, n, *given)
    costs = {}
    for name, work in (made if isinstance(made, dict) else {case.__name__: made}).items():
        gc.collect()
        before = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        started = time.process_time()
        work()
        costs[name] = {"cpu_s": time.process_time() - started, "peak_mib": max(0.0, _memory("VmHWM") - before)}
    artifacts.write_json(folder / "cost.json", costs)
    sys.stdout.flush()
    os._exit(0)  # nothing is to be taken down


def _memory(name: str) -> float:
    """MiB of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


# --------------------------------------------------------------------------------------------------------------------
# records


def image_facts(k: int) -> list[facts.Fact]:
    of_image = [
        facts.Fact("observatory", "SDO"), facts.Fact("instrument", "AIA"), facts.Fact("measurement", "171"),
        facts.Fact("layer", "corona"), facts.Fact("date_obs", f"{_day(k)}T04:12:30"), facts.Fact("n_regions", 3),
        facts.Fact("banner_text", f"SDO/AIA 171\n{_day(k)} 04:12 UT"),
    ]  # fmt: skip
    for number, area, quadrant in REGIONS:
        of_image += [facts.Fact("noaa_ar", number, number), facts.Fact("area_msh", area, number)]
        of_image.append(facts.Fact("quadrant", quadrant, number))
    return of_image


def _day(k: int) -> str:
    return f"{np.datetime64('1900-01-01') + k}"


def corpus_of(n: int) -> pd.DataFrame:
    rows = [
        {"image_id": f"img{k:07d}", "path": f"images/{k:07d}.png", "sha256": f"{k:064x}", "width": 168, "height": 168,
         "facts": facts.to_json(image_facts(k)), "split": "train", "group_id": _day(k), "simulated": True}
        for k in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def pictures_of(n: int, side: int = 84):
    from PIL import Image

    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)) for _ in range(n)]


# --------------------------------------------------------------------------------------------------------------------
# one case a stage


def corpus(folder, n):
    from astropy.io import fits

    from jwvl_lib import corpus as stage

    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    for k in range(n):
        moment = f"{np.datetime64('2011-01-01T00:00:00') + 7200 * k}"
        cards = {"DATE-OBS": moment, "TELESCOP": "SDO/AIA", "INSTRUME": "AIA_3", "WAVELNTH": 171}
        pixels = np.kron(rng.integers(1, 3000, (8, 8)), np.ones((8, 8))) + rng.integers(0, 300, (64, 64))
        fits.PrimaryHDU(pixels.astype(np.int16), fits.Header(cards)).writeto(folder / "in" / f"{k:07d}.fits")
    return lambda: stage.build_corpus(folder / "out", "", folder / "in", "", 0, image_px=84, workers=1)


def table(folder, n, template):
    """Everything of the corpus that sees all rows at once, from the finished jobs to the table."""
    from test_growth import grown

    from jwvl_lib import corpus_table

    jobs, state = grown(folder, template, n), {"found": []}

    def index():
        for job in jobs:
            rows = json.loads((folder / "work" / job).read_bytes())["rows"]
            state["found"] += corpus_table.entries(job, rows)

    def dedup():
        state["kept"], _ = corpus_table.without_duplicates(state["found"])

    def split():
        state["names"] = corpus_table.split_names(state["kept"], "", 0)

    def write():
        corpus_table.write(folder, state["kept"], state["names"])

    return {"index": index, "dedup": dedup, "split": split, "table": write}


def distillation(folder, n):
    from jwvl_lib import prompts, teacher, teacher_plan

    table, every = corpus_of(n), prompts.load_prompts(artifacts.REPO / "params" / "prompts")
    offered = teacher_plan.offering(table, every)
    return lambda: teacher.annotate(table, offered, ledger=folder / "teacher.sqlite", qa_per_image=1)


def ledger(folder, n):
    from jwvl_lib import teacher_ledger as stage

    words = "Describe the image. " * 5
    made = [stage.Request(f"i{k}", f"{k:064x}", "qa.layer", 1, "en", "m", "{}", words, f"item {k}") for k in range(n)]
    attempts = [
        stage.Attempt(r.key, "answered", '{"answer": "corona"}', 200, sent_utc="2014-02-03T00:00:00") for r in made
    ]

    def work():
        with stage.open_ledger(folder / "teacher.sqlite") as db:
            stage.record_requests(db, made)
            for start in range(0, n, 100):  # answers come in a few at a time
                stage.record_attempts(db, attempts[start : start + 100])
            assert not stage.unsettled(db, made, 5)
        assert stage.counts(folder / "teacher.sqlite")["answered"] == n

    return work


def claims(folder, n):
    from jwvl_lib import claims as stage

    known = image_facts(0)
    texts = [f"AR {19001 + k % 3} in the NE quadrant covers {10 + k % 400} MSH; the corona at 171 Å." for k in range(n)]
    stage.check(texts[0], known, "en")
    return lambda: sum(len(stage.check(text, known, "en")) for text in texts)


def review(folder, n):
    from test_review_storm import make_run

    from jwvl_lib import review as stage
    from jwvl_lib import review_ledger

    annotations, _ = make_run(folder, n)

    def work():
        path = review_ledger.open_ledger(folder / "review.sqlite")
        stage.apply_policy(path, annotations, "facts", seed=0)
        stage.accepted(path, annotations)
        stage.outcomes(path, annotations)
        stage.prompt_report(path, annotations)
        stage.export_events(path, folder / "events.jsonl")

    return work


def queue(folder, n):
    from test_review_storm import make_run

    from jwvl_lib import review as stage
    from jwvl_lib import review_ledger
    from jwvl_lib.panel import ReviewPanel

    annotations, table = make_run(folder, n)
    path = review_ledger.open_ledger(folder / "review.sqlite")
    stage.apply_policy(path, annotations, "facts", seed=0)
    return lambda: ReviewPanel(path, annotations, table, folder, overlap=0.1).begin("newcomer.1")


def training(folder, n):
    from jwvl_lib import samples, vlm

    base = artifacts.REPO / "models" / "tiny_base"
    model, processor = vlm.load_model(base), vlm.load_processor(base)
    model.requires_grad_(False)
    few, n_images = pictures_of(50), -(-n // 6)
    turns = [[(f"Which layer is {k} {i}?", "The corona at 171.") for i in range(6)] for k in range(n_images)]
    names = [f"img{k}" for k in range(n_images)]

    def work():
        images = [few[k % len(few)] for k in range(n_images)]
        made = samples.prepare_samples(model, processor, images, turns, names)
        samples.plan_rows(made, samples.rows_per_epoch(made, 6), 6, 0)

    samples.prepare_samples(model, processor, few[:1], turns[:1], names[:1])
    return work


def answering(folder, n):
    from jwvl_lib import vlm

    base = artifacts.REPO / "models" / "tiny_base"
    model, processor = vlm.load_model(base), vlm.load_processor(base)
    n_images = -(-n // 6)
    few, questions = pictures_of(50), [f"Which layer is number {k}?" for k in range(n)]
    images, index = [few[k % len(few)] for k in range(n_images)], [k // 6 for k in range(n)]
    vlm.answer(model, processor, images[:1], questions[:2], [0, 0], 4)
    return lambda: vlm.answer(model, processor, images, questions, index, 4)


def metrics(folder, n):
    from jwvl_lib import bench

    rng, words = np.random.default_rng(0), "corona photosphere AIA 171 HMI region quiet bright hole limb north".split()
    say = [" ".join(rng.choice(words, 6)) for _ in range(200)]
    item = np.arange(n) // 2  # each is answered by both models
    frame = pd.DataFrame({"annotation_id": [f"a{i}" for i in item], "image_id": [f"i{i // 8}" for i in item]})
    frame = frame.assign(
        task=np.array(["qa", "ocr", "description"])[item % 3], prompt_id=np.array(["qa.layer", "ocr", "d"])[item % 3],
        language=np.array(["en", "zh"])[item // 4 % 2], model=np.array(["base", "tuned"])[np.arange(n) % 2],
        group_id=[f"day{i // 100}" for i in item], simulated=True, prediction=[say[i % 200] for i in range(n)],
        target=[say[i * 7 % 200] for i in item], choices="[]", correct=(item % 5 == 0).astype(float), split="test",
        choice_correct=np.nan,
    )  # fmt: skip
    bench.score(frame.head(8), {})
    return lambda: bench.metrics_records(bench.score(frame, {}), run_profile="tiny", n_bootstrap=100)


def reports(folder, n, archive):
    from jwvl_lib import report_archive

    end = f"{np.datetime64('2014-01-01') + (n - 1)}"
    report_archive.make_day("2013-12-31", str(archive), str(folder / "first"))
    return lambda: report_archive.backfill("2014-01-01", end, archive, folder / "out", workers=1)


def report_index(folder, n, archive):
    from jwvl_lib import report_archive

    report_archive.make_day("2014-10-24", str(archive), str(folder / "one"))
    for k in range(n):
        (folder / "out" / _day(k)).mkdir(parents=True)
        os.link(folder / "one" / "2014-10-24" / "report.json", folder / "out" / _day(k) / "report.json")
    return lambda: report_archive.write_index(folder / "out")


def chat(folder, n):
    import sunpy

    from jwvl_lib import chat as stage
    from jwvl_lib import report

    sources = report.gather("2000-09-27", Path(sunpy.__file__).parent / "data" / "test" / "SRS")
    room = stage.Room(report.compose(sources, "2000-09-27"), {})
    asked = (
        "Tell me about the largest region.",
        "活动区9169的面积多大？",
        "What is the activity level?",
        "当日情况如何？",
    )
    conversation = stage.Conversation.resumed(folder, "growth")
    return lambda: sum(len(stage.whole(stage.ask(room, conversation, asked[k % 4]))) for k in range(n))
