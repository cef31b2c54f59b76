"""Questions a chat offers: what the day's report can answer, and what the model was taught to say of pictures.

Reads the prompts in `params/prompts` for the wordings of picture questions; writes nothing.
"""

import functools
from collections.abc import Mapping, Sequence

from jwvl_lib import prompts
from jwvl_lib.chat import Room
from jwvl_lib.chat_pictures import Picture

PROMPTS_DIR = "params/prompts"
MOST = 5
OF_DAY = {
    "en": (
        "Which regions should be watched, and why?",
        "What is the chance of an M-class flare?",
        "Summarise the day.",
    ),
    "zh": ("哪些活动区值得关注？为什么？", "爆发M级耀斑的概率是多少？", "总结当日情况。"),
}
OF_CLASS = {"en": "What does {c} mean?", "zh": "{c}是什么意思？"}
OF_REGION = {
    "en": ("And its magnetic class?", "Has it grown?", "Which flares did it produce?"),
    "zh": ("它的磁分类是什么？", "它的面积有变化吗？", "它产生了哪些耀斑？"),
}
OF_PICTURES = {1: (("description", 0), ("ocr", 0)), 2: (("multi.same_day", 0), ("multi.higher_layer", 0))}


def suggest(room: Room, pictures: Sequence[Picture], last: Mapping, language: str) -> list[str]:
    """Up to five questions that lead on from the chosen pictures and the turn before, in the language of the page."""
    offered = list(picture_questions(len(pictures), language)) if room.model_name and pictures else []
    if last.get("regions"):
        offered += [q for q in OF_REGION[language] if q != last.get("question")]
    offered += OF_DAY[language]
    classes = [r["mcintosh_class"] for r in room.report["regions"] if r["noaa_ar"] in _watched(room)]
    offered += [OF_CLASS[language].format(c=c) for c in classes[:1]]
    return [q for q in dict.fromkeys(offered) if q != last.get("question")][:MOST]


def _watched(room: Room) -> list[int]:
    return [w["noaa_ar"] for w in room.report["watch_list"]] or [r["noaa_ar"] for r in room.report["regions"][:1]]


@functools.cache
def picture_questions(n_pictures: int, language: str) -> tuple[str, ...]:
    """The taught wordings of questions about one picture, or two; closed ones with their choices."""
    known = prompts.load_prompts(PROMPTS_DIR)
    kinds = OF_PICTURES.get(min(n_pictures, 2), ())
    return tuple(_worded(known[name], known[name].text["questions"][language][i], language) for name, i in kinds)


def _worded(prompt: prompts.Prompt, question: str, language: str) -> str:
    choices = prompt.text.get("choices")
    if not choices or "closed" not in prompt.text:
        return question
    kind = prompt.about.partition(":")[2]
    named = " / ".join(prompt.name(kind, str(c), language) for c in choices)
    return prompt.text["closed"][language].format(question=question, choices=named)
