"""Versioned prompts: what a teacher is asked, in Chinese and English, and the wordings of the grounded teacher.

Reads `params/prompts/*.yaml` and `versions.lock` beside them. A prompt whose text changed while its version did not
is refused: annotations name the version, so a version must always mean the same text. After a change raise `version`
in the YAML file and renew the lock with `python -m jwvl_lib.prompts --lock [folder]`, which writes `versions.lock`.
"""

import argparse
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from jwvl_lib import knowledge
from jwvl_lib.artifacts import resolve, write_text
from jwvl_lib.facts import Fact

LANGUAGES = ("zh", "en")
STEPS = ("observe", "identify", "analyse", "conclude")
# what can be seen in a picture or read in its banner; numbers, areas and classes of regions cannot
VISIBLE_KINDS = (
    "observatory instrument measurement wavelength_angstrom layer date_obs banner_text n_regions activity".split()
)
LARGEST_KINDS = ("quadrant", "leading_polarity")
LOCK = "versions.lock"
log = logging.getLogger(__name__)


class PromptError(ValueError):
    """A prompt file that cannot be used as it stands."""


@dataclass(frozen=True)
class Prompt:
    """One prompt. `text` is its YAML entry without the version: role, instruction, criteria, steps, questions, choices,
    names, templates and examples, each by language, and the output schema; `sha256` is the hash of that entry.
    """

    prompt_id: str
    version: int
    task: str
    text: Mapping
    sha256: str

    @property
    def about(self) -> str:
        """What a bare answer claims, for `claims.check`; "" for a description."""
        return self.text.get("about", "")

    def name(self, kind: str, value: str, language: str) -> str:
        """How the value of a fact kind is called in a language; what has no name of its own keeps it."""
        return self.text.get("names", {}).get(kind, {}).get(value, {}).get(language, value)


def load_prompts(folder: str | Path) -> dict[str, Prompt]:
    """The prompts of a folder by id, in the order of files and entries.

    Raises FileNotFoundError where the folder holds no YAML file, PromptError for an incomplete entry and for a text
    that the lock file does not know under this version.
    """
    path = resolve(folder)
    prompts = _read(path)
    locked = _read_lock(path / LOCK)
    for prompt in prompts.values():
        known = locked.get((prompt.prompt_id, prompt.version))
        if known != prompt.sha256:
            raise PromptError(_lock_message(prompt, known))
    return prompts


def _lock_message(prompt: Prompt, known: str | None) -> str:
    name, command = f"{prompt.prompt_id} version {prompt.version}", "python -m jwvl_lib.prompts --lock"
    if known is None:
        return f"{name} is not in {LOCK}; renew it with `{command}`"
    return f"the text of {name} changed, but a version keeps its text; raise its version, then `{command}`"


def _read(folder: Path) -> dict[str, Prompt]:
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no *.yaml prompt; set prompts_dir to a folder that does")
    prompts = {}
    for file in files:
        for prompt_id, entry in yaml.safe_load(file.read_text("utf-8")).items():
            if prompt_id in prompts:
                raise PromptError(f"{file.name}: prompt {prompt_id!r} is defined twice; ids must differ")
            prompts[prompt_id] = _prompt(file.name, prompt_id, dict(entry))
    return prompts


def _prompt(file: str, prompt_id: str, entry: dict) -> Prompt:
    bilingual = ("role", "instruction", "criteria", "steps", "questions", "templates")
    missing = [key for key in ("version", "task", "schema", *bilingual) if key not in entry]
    missing += [f"{k}.{lang}" for k in bilingual if k in entry for lang in LANGUAGES if lang not in entry[k]]
    if missing:
        raise PromptError(f"{file}: prompt {prompt_id!r} lacks {', '.join(missing)}; every text is needed in zh and en")
    if list(entry["schema"]) != [*STEPS, "answer"]:
        fields = ", ".join((*STEPS, "answer"))
        raise PromptError(f"{file}: the schema of {prompt_id!r} must have the fields {fields}, in this order")
    version = entry.pop("version")
    if "names" in entry:
        entry["names"] = _names(file, prompt_id, entry["names"])
    digest = hashlib.sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    return Prompt(prompt_id, version, entry["task"], entry, digest)


def _names(file: str, prompt_id: str, given: Mapping) -> dict:
    """{kind: {value: {en, zh}}}: the terms of the knowledge base for values listed; what is spelt out stays.

    The terms so become part of the text that a version stands for: a changed term needs a new version, too.
    """
    try:
        return {
            kind: values if isinstance(values, Mapping) else {v: _terms(kind, v) for v in values}
            for kind, values in given.items()
        }
    except knowledge.KnowledgeError as error:
        raise PromptError(f"{file}: names of prompt {prompt_id!r}: {error}") from error


def _terms(kind: str, value: str) -> dict[str, str]:
    """A value is looked up in the section of its kind, else among the answers."""
    known = kind in knowledge.load().sections and value in knowledge.section(kind)
    return {language: knowledge.term(f"{kind if known else 'answer'}.{value}", language) for language in LANGUAGES}


def _read_lock(path: Path) -> dict[tuple[str, int], str]:
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {(prompt_id, int(version)): digest for prompt_id, version, digest in rows}


def renew_lock(folder: str | Path) -> list[str]:
    """Add the new (prompt, version) pairs of a folder to its lock file; returns what was added, as "id version".

    Versions locked before stay, so that an old number cannot come back with another text. PromptError where a text
    changed without its version.
    """
    path = resolve(folder)
    prompts, locked = _read(path), _read_lock(path / LOCK)
    added = []
    for prompt in prompts.values():
        key = (prompt.prompt_id, prompt.version)
        if locked.setdefault(key, prompt.sha256) != prompt.sha256:
            raise PromptError(_lock_message(prompt, locked[key]))
        if key not in _read_lock(path / LOCK):
            added.append(f"{prompt.prompt_id} {prompt.version}")
    rows = [f"{prompt_id} {version} {locked[prompt_id, version]}" for prompt_id, version in sorted(locked)]
    head = "# prompt_id version sha256 of its text; python -m jwvl_lib.prompts --lock"
    write_text(path / LOCK, "\n".join([head, *rows, ""]))
    return added


# --------------------------------------------------------------------------------------------------------------------
# rendering


def closed_question(prompt: Prompt, question: str, choices: Sequence[str], language: str) -> str:
    """The question with its choices: the very text that the teacher, the base and the tuned model are asked."""
    return prompt.text["closed"][language].format(question=question, choices=" / ".join(choices))


def visible_facts(facts: Sequence[Fact], largest: int | None, about: str = "") -> list[Fact]:
    """The facts a viewer of the picture can confirm; of the regions only the largest, without its number.

    A leading polarity is seen on a magnetogram and nowhere else. What a question is `about` is given besides, where it
    asks for a guess of what can hardly be seen (`largest:hale_class`).
    """
    scope, _, asked = about.rpartition(":")
    largest_kinds = {*LARGEST_KINDS, *([asked] if scope == "largest" else [])}
    other = any(f.kind == "measurement" and f.value != "magnetogram" for f in facts)
    seen = {*VISIBLE_KINDS, *largest_kinds} - ({"leading_polarity"} if other else set())
    return [f for f in facts if f.kind in seen and (f.kind not in largest_kinds or f.noaa_ar == largest)]


def system_text(prompt: Prompt, language: str) -> str:
    """Role, instruction, criteria, reasoning steps, output schema and worked examples."""
    zh, text = language == "zh", prompt.text
    lines = [text["role"][language], "", text["instruction"][language], ""]
    lines += ["标准：" if zh else "Criteria:", *(f"- {c}" for c in text["criteria"][language]), ""]
    lines += ["步骤：" if zh else "Steps:", *(f"- {name}: {text['steps'][language][name]}" for name in STEPS), ""]
    schema = json.dumps({name: what[language] for name, what in text["schema"].items()}, ensure_ascii=False)
    lines += [("只回复一个 JSON 对象：" if zh else "Reply with one JSON object only: ") + schema]
    for example in text.get("examples", []):
        reply = {name: example[language][name] for name in (*STEPS, "answer")}
        question = example[language].get("question", text["questions"][language][0])
        lines += ["", ("示例：" if zh else "Example: ") + question, json.dumps(reply, ensure_ascii=False)]
    return "\n".join(lines)


def user_text(
    prompt: Prompt,
    language: str,
    question: str = "",
    facts: Sequence[Fact] | None = None,
    more_facts: Sequence[Sequence[Fact]] = (),
    earlier: Sequence[tuple[str, str]] = (),
) -> str:
    """The question, after the facts where the teacher is given them and after what was said before.

    `more_facts` are those of a second and later image, `earlier` the (question, answer) pairs of a conversation.
    """
    zh = language == "zh"
    lines = []
    if facts:
        known = "These facts are true; rely on them and the image only:"
        lines.append("以下事实可信；除图像外只依据它们：" if zh else known)
    for number, of_image in enumerate([facts, *more_facts] if facts else [], start=1):
        lines += [f"图 {number}：" if zh else f"Image {number}:"] if more_facts else []
        lines += [_fact_line(fact, zh) for fact in of_image]
    if earlier:
        lines.append("此前的对话：" if zh else "The conversation so far:")
        lines += [f"Q: {q}\nA: {a}" for q, a in earlier]
    return "\n".join([*lines, *([""] if lines else []), question or prompt.text["questions"][language][0]])


def _fact_line(fact: Fact, zh: bool) -> str:
    of_largest = " (最大活动区)" if zh else " (largest region)"
    where = of_largest if fact.noaa_ar is not None else ""
    return f"- {fact.kind}{where}: {json.dumps(fact.value, ensure_ascii=False)}"


def render_messages(
    prompt: Prompt,
    language: str,
    facts: Sequence[Fact] | None = None,
    image_data_url: str = "",
    question: str = "",
) -> list[dict]:
    """OpenAI chat messages: the system text, then the image and the question.

    `facts` are given to the teacher as they stand (see `visible_facts`); without `question` the first wording is asked.
    """
    user = {"type": "text", "text": user_text(prompt, language, question, facts)}
    image = [{"type": "image_url", "image_url": {"url": image_data_url}}] if image_data_url else []
    return [
        {"role": "system", "content": system_text(prompt, language)},
        {"role": "user", "content": [*image, user]},
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a prompt folder, or renew its lock file."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.prompts", description=main.__doc__)
    parser.add_argument("folder", nargs="?", default="params/prompts")
    parser.add_argument("--lock", action="store_true", help="add new versions to versions.lock")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        added = renew_lock(options.folder) if options.lock else []
        log.info("%d prompts, newly locked: %s", len(load_prompts(options.folder)), ", ".join(added) or "none")
    except (PromptError, FileNotFoundError) as error:
        log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
