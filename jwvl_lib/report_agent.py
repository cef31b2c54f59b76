"""The agent of the daily report: an explicit plan, carried out step by step, with a transcript of what it did.

Reads what its steps read; writes the report and `<date>/transcript.json` (steps with inputs, outputs, seconds, tokens).
The plan is fixed before anything is read and no step is chosen by a model: texts and pictures are data, tools only read
(the web step fetches an allow-listed set of addresses, see `swpc_web`), and only `write` writes.
"""

import argparse
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jwvl_lib import artifacts, flare_model, report, report_images, report_sources

LOGGER = logging.getLogger(__name__)

PLAN = (
    ("acquire", "fetch the products of the day into the archive folder, where the web is wanted"),
    ("gather", "collect the files a report of that day may use, with their hashes"),
    ("read", "parse them; levels, regions, changes, watch list by rules"),
    ("narrate", "let a language model word the facts, where one is given"),
    ("look", "let the vision-language model name, read and describe the images of the day, where given"),
    ("compose", "judge every model sentence against the facts, put the report together"),
    ("write", "write JSON, HTML, Markdown and the sources"),
    ("verify", "read the written files again and make the report anew from the raw bytes"),
)


@dataclass
class Step:
    """One step as it was carried out; `state` is done, skipped or failed, a skipped step says why in its outputs.

    Tokens are 0 where no model was asked, None where one answered without saying.
    """

    name: str
    purpose: str
    inputs: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    seconds: float = 0.0
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    state: str = "skipped"


class Transcript:
    """The steps of one run in the order of the plan, and `troubles`: what the report's banner must say of them."""

    def __init__(self):
        self.steps = {name: Step(name, purpose) for name, purpose in PLAN}
        self.troubles: list[str] = []

    @contextmanager
    def step(self, name: str, **inputs) -> Iterator[Step]:
        """Time one step; an error is recorded and raised again."""
        step, start = self.steps[name], time.perf_counter()
        step.inputs, step.state = inputs, "failed"
        try:
            yield step
            step.state = "done"
        except Exception as error:
            step.outputs["error"] = " ".join(str(error).split())[:300]
            raise
        finally:
            step.seconds = round(time.perf_counter() - start, 3)

    def skip(self, name: str, why: str, **inputs) -> None:
        """Note why a step is left out, unless it was carried out before."""
        step = self.steps[name]
        if step.state == "skipped":
            step.inputs, step.outputs = inputs, {"skipped": why}

    def rows(self) -> list[dict]:
        """The steps as plain dicts, for `transcript.json` and tables."""
        return [asdict(step) for step in self.steps.values()]


def make_report(
    report_date: str,
    swpc_dir: str | Path,
    out_dir: str | Path,
    web: bool = False,
    image_dir: str | Path = "",
    model: str = "",
    adapter_dir: str = "",
    narrator_base_url: str = "",
    narrator_model: str = "",
    flare_model_file: str | Path = flare_model.MODEL_FILE,
    transcript: Transcript | None = None,
    image_px: int = 168,
    **options,
) -> tuple[Path, Transcript]:
    """Carry out `PLAN` for one day; returns the report's folder and the transcript, which is saved in it.

    A step that only adds (web, narrator, images) may fail: the report says so in its banner and comes out. Errors of
    `gather` and `compose` are raised: there is nothing to report from. `transcript` may hold an `acquire` that was
    carried out before; without `image_dir` the images of the day are those of `swpc_dir`, if it has any; `image_px` is
    the side at which a model sees those drawn from FITS. `options` are those of `report.compose`.
    """
    log = transcript or Transcript()
    languages = tuple(options.get("languages", "zh,en").split(","))
    if web and log.steps["acquire"].state == "skipped":
        acquire(log, report_date, swpc_dir)
    log.skip("acquire", "the web is not wanted", web=web)
    images = image_dir or report_sources.find_images(report_date, swpc_dir) or ""
    sources = _gather(log, report_date, swpc_dir, images, flare_model_file)
    with log.step("read", n_sources=len(sources)) as step:
        facts = report.compose(sources, report_date, **options)
        step.outputs = _summed_up(facts)
    written, said = {}, []
    if narrator_model:
        written = _narrate(log, facts, narrator_base_url, narrator_model, languages)
    log.skip("narrate", "no narrator_model: the sentences are templates")
    if model and facts["images"]:
        said = _look(log, facts, sources, model, adapter_dir, languages, image_px)
    log.skip("look", "no model" if facts["images"] else "no images of the day", n_images=len(facts["images"]))
    with log.step("compose", n_written=len(written), n_said=len(said)) as step:
        names = " + ".join(
            filter(None, (narrator_model if written else "", _short(model) if said else "", _short(adapter_dir)))
        )
        more = {"model": names or None, "model_claims": said, "written": written, "troubles": log.troubles}
        made = report.compose(sources, report_date, **more, **options)
        verdicts = [c["verdict"] for c in made["claims"] if c.get("origin") == "model"]
        step.outputs = {v: verdicts.count(v) for v in ("supported", "contradicted", "unsupported")}
    with log.step("write", report_date=report_date) as step:
        folder = report.write(made, sources, out_dir)
        (folder / "transcript.json").unlink(missing_ok=True)  # of a run before: it tells of another report
        step.outputs = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()}
    with log.step("verify", report_date=report_date) as step:
        step.outputs = {"problems": report.check(folder)}
    artifacts.write_json(folder / "transcript.json", {"plan": [n for n, _ in PLAN], "steps": log.rows()})
    return folder, log


def acquire(log: Transcript, report_date: str, swpc_dir: str | Path) -> None:
    """The first step: fetch the products of the day into `swpc_dir`; what fails is noted in `log.troubles`."""
    from jwvl_lib import swpc_web  # here, so that a report from a folder needs no network module

    try:
        with log.step("acquire", report_date=report_date, addresses=dict(swpc_web.ADDRESSES)) as step:
            fetched = swpc_web.acquire(report_date, swpc_dir)
            step.outputs = {f.name: f.error or f.sha256 for f in fetched}
            failed = [f.name for f in fetched if f.error]
        if failed:
            log.troubles.append(f"not fetched: {', '.join(failed)}")
    except OSError as error:
        log.troubles.append(f"the web could not be used: {' '.join(str(error).split())[:200]}")


def _gather(log: Transcript, report_date: str, swpc_dir, images, flare_model_file) -> list[report_sources.Source]:
    from jwvl_lib import swpc_web

    names = {"swpc_dir": Path(swpc_dir).name, "image_dir": Path(images).name if images else ""}
    with log.step("gather", report_date=report_date, **names, flare_model=Path(flare_model_file).name) as step:
        origins = swpc_web.origins(swpc_dir)
        sources = report.gather(report_date, swpc_dir, origins, flare_model_file)
        if images:
            sources += _images(log, images, origins)
        step.outputs = {s.name: hashlib.sha256(s.raw).hexdigest() for s in sources}
    return sources


def _images(log: Transcript, images: str | Path, origins: dict) -> list[report_sources.Source]:
    try:
        return report_images.with_headers(report_sources.image_sources(images, origins))
    except OSError as error:
        log.troubles.append(f"no images: {' '.join(str(error).split())[:200]}")
        return []


def _short(folder: str | Path) -> str:
    """The end of a path, which says which run; the place on this machine is nobody's business."""
    return "/".join(Path(folder).parts[-3:]) if folder else ""


def _summed_up(facts: dict) -> dict:
    return {
        "level": facts["activity_level"]["value"],
        "regions": len(facts["regions"]),
        "flares": len(facts["flares"]),
        "images": [i["name"] for i in facts["images"]],
        "products": {p["product"]: p["state"] for p in facts["products"]},
        "chances": facts["rates"].get("method"),
    }


def _narrate(log: Transcript, facts: dict, base_url: str, model: str, languages: tuple) -> dict:
    import openai

    from jwvl_lib import report_narrator

    try:
        with log.step("narrate", model=model, prompt_version=report_narrator.PROMPT_VERSION) as step:
            answer = report_narrator.write(facts, base_url, model, languages)
            step.outputs, step.tokens_in, step.tokens_out = answer.texts, answer.tokens_in, answer.tokens_out
        return answer.texts
    except openai.OpenAIError as error:
        log.troubles.append(
            f"narrator {model} did not answer ({type(error).__name__}): the text is that of the templates"
        )
        return {}


def _look(
    log: Transcript, facts: dict, sources: list, model: str, adapter_dir: str, languages: tuple, image_px: int
) -> list:
    from jwvl_lib import report_model  # here: it loads torch

    names = [i["name"] for i in facts["images"]]
    try:
        with log.step(
            "look", images=names, model=_short(model), adapter=_short(adapter_dir), prompts=report_model.PROMPT_IDS
        ) as step:
            answer = report_model.look(facts, sources, model, adapter_dir, languages, image_px)
            step.outputs = {"answers": answer.answers}
            step.tokens_in, step.tokens_out = answer.tokens_in, answer.tokens_out
        return answer.sentences
    except (OSError, ValueError) as error:
        log.troubles.append(f"the images were not described: {' '.join(str(error).split())[:200]}")
        return []


def main(arguments: list[str] | None = None) -> int:
    """Make the report of one day from an archive folder; with --web its products are fetched into that folder first."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.report_agent", description=main.__doc__)
    parser.add_argument("report_date", metavar="DATE", help="YYYY-MM-DD")
    parser.add_argument("--swpc-dir", required=True, help="archive folder of SWPC products")
    parser.add_argument("--out", default="outputs/archive/06_daily_report", help="folder of the reports")
    parser.add_argument("--image-dir", default="", help="images of the day: FITS, JPEG2000, PNG, JPEG, GIF")
    parser.add_argument("--web", action="store_true", help="fetch the products first (allow-listed hosts)")
    parser.add_argument("--convention", default="swpc", help="activity levels: swpc or rwcc")
    parser.add_argument("--model", default="", help="base model that reads the images")
    parser.add_argument("--adapter-dir", default="", help="its adapter")
    given = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        folder, log = make_report(given.pop("report_date"), given.pop("swpc_dir"), given.pop("out"), **given)
    except (OSError, ValueError) as error:
        LOGGER.error("error: %s", " ".join(str(error).split()))
        return 1
    problems = log.steps["verify"].outputs["problems"]
    for problem in problems:
        LOGGER.error("error: %s", problem)
    warnings = json.loads((folder / "report.json").read_text(encoding="utf-8"))["warnings"]
    for warning in warnings:
        LOGGER.info("%s", warning)
    LOGGER.info("%s", folder / "report.html")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
