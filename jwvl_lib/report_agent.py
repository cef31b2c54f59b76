"""The agent of the daily report: an explicit plan, carried out step by step, with a transcript of what it did.

Reads what its steps read; writes the report and `<date>/transcript.json` (steps with inputs, outputs, seconds, tokens).
The plan is fixed before anything is read and no step is chosen by a model: texts and pictures are data, tools only read
(the web step fetches an allow-listed set of addresses, see `swpc_web`), and only `write` writes.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jwvl_lib import artifacts, report, report_sources

PLAN = (
    ("acquire", "fetch the products of the day into the archive folder, where the web is wanted"),
    ("gather", "collect the files a report of that day may use, with their hashes"),
    ("read", "parse them; levels, regions, changes, watch list by rules"),
    ("narrate", "let a language model word the facts, where one is given"),
    ("look", "let the vision-language model describe the images of the day, where given"),
    ("compose", "judge every model sentence against the facts, put the report together"),
    ("write", "write JSON, HTML, Markdown and the sources"),
    ("verify", "read the written files again and make the report anew from the raw bytes"),
)


@dataclass
class Step:
    """One step as it was carried out; `state` is done, skipped or failed."""

    name: str
    purpose: str
    inputs: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    seconds: float = 0.0
    tokens_in: int | None = None
    tokens_out: int | None = None
    state: str = "skipped"


class Transcript:
    """The steps of one run in the order of the plan; a step that was not reached stays `skipped`."""

    def __init__(self):
        self.steps = {name: Step(name, purpose) for name, purpose in PLAN}

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
    **options,
) -> tuple[Path, Transcript]:
    """Carry out `PLAN` for one day; returns the report's folder and the transcript, which is saved in it.

    A step that only adds (web, narrator, images) may fail: the report says so in its banner and comes out. Errors of
    `gather` and `compose` are raised: there is nothing to report from. `options` are those of `report.compose`.
    """
    log, troubles = Transcript(), []
    languages = tuple(options.get("languages", "zh,en").split(","))
    origins = _acquire(log, troubles, report_date, swpc_dir) if web else {}
    with log.step("gather", report_date=report_date) as step:
        sources = report.gather(report_date, swpc_dir, origins)
        sources += report_sources.image_sources(image_dir) if image_dir else []
        step.outputs = {s.name: hashlib.sha256(s.raw).hexdigest() for s in sources}
    with log.step("read", n_sources=len(sources)) as step:
        facts = report.compose(sources, report_date, **options)
        step.outputs = {"level": facts["activity_level"]["value"], "regions": len(facts["regions"])}
    written, said = {}, []
    if narrator_model:
        written = _narrate(log, troubles, facts, narrator_base_url, narrator_model, languages)
    if model and image_dir:
        said = _look(log, troubles, facts, image_dir, model, adapter_dir, languages)
    with log.step("compose", n_written=len(written), n_said=len(said)) as step:
        names = " + ".join(filter(None, (narrator_model if written else "", model if said else "", adapter_dir)))
        made = report.compose(
            sources, report_date, model=names or None, model_claims=said, written=written, troubles=troubles, **options
        )
        verdicts = [c["verdict"] for c in made["claims"] if c.get("origin") == "model"]
        step.outputs = {v: verdicts.count(v) for v in ("supported", "contradicted", "unsupported")}
    with log.step("write", report_date=report_date) as step:
        folder = report.write(made, sources, out_dir)
        step.outputs = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()}
    with log.step("verify", report_date=report_date) as step:
        step.outputs = {"problems": report.check(folder)}
    artifacts.write_json(folder / "transcript.json", {"plan": [n for n, _ in PLAN], "steps": log.rows()})
    return folder, log


def _acquire(log: Transcript, troubles: list, report_date: str, swpc_dir: str | Path) -> dict:
    from jwvl_lib import swpc_web  # here, so that a report from a folder needs no network module

    try:
        with log.step("acquire", report_date=report_date) as step:
            fetched = swpc_web.acquire(report_date, swpc_dir)
            step.outputs = {f.name: f.error or f.sha256 for f in fetched}
            failed = [f.name for f in fetched if f.error]
        if failed:
            troubles.append(f"not fetched: {', '.join(failed)}")
        return swpc_web.origins(swpc_dir)
    except OSError as error:
        troubles.append(f"the web could not be used: {' '.join(str(error).split())[:200]}")
        return {}


def _narrate(log: Transcript, troubles: list, facts: dict, base_url: str, model: str, languages: tuple) -> dict:
    import openai

    from jwvl_lib import report_narrator

    try:
        with log.step("narrate", model=model, prompt_version=report_narrator.PROMPT_VERSION) as step:
            answer = report_narrator.write(facts, base_url, model, languages)
            step.outputs, step.tokens_in, step.tokens_out = answer.texts, answer.tokens_in, answer.tokens_out
        return answer.texts
    except openai.OpenAIError as error:
        troubles.append(f"narrator {model} did not answer ({type(error).__name__}): the text is that of the templates")
        return {}


def _look(log: Transcript, troubles: list, facts: dict, image_dir, model: str, adapter_dir: str, languages) -> list:
    from jwvl_lib import report_model  # here: it loads torch

    try:
        with log.step("look", image_dir=Path(image_dir).name, model=model) as step:
            said = report_model.model_claims(facts, image_dir, model, adapter_dir, languages)
            step.outputs = {"sentences": [s["text"] for s in said]}
            step.tokens_out = sum(s.pop("tokens", 0) for s in said)
        return said
    except (OSError, ValueError) as error:
        troubles.append(f"the images were not described: {' '.join(str(error).split())[:200]}")
        return []
