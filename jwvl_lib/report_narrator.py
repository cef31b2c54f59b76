"""The narrative written by any OpenAI-compatible model, from the facts of the day alone.

Sends the parsed facts (never a fetched text) to one endpoint and returns raw text; `report.compose` judges each
sentence and drops what the facts do not support. The model has no tools: what it answers can only be kept or dropped.
"""

import json
import os
from dataclasses import dataclass

import openai

PROMPT_VERSION = 1
PROMPTS = {
    "en": "You write the summary of a daily solar activity report in English: at most eight short sentences, one "
    "statement each. Use only the JSON facts given; name regions by their NOAA number; give areas in millionths of the "
    "hemisphere, McIntosh and magnetic classes and flare classes as they stand. No forecast, no other number.",
    "zh": "请用中文撰写太阳活动日报摘要：至多八个短句，每句只陈述一件事。只使用给出的JSON事实；活动区用NOAA编号；"
    "面积单位为太阳半球的百万分之一，McIntosh分类、磁分类和耀斑级别照抄。不作预报，不写其他数字。",
}
LONGEST_TOKENS = 800


@dataclass(frozen=True)
class Written:
    """What a model wrote, per language, and the tokens it took (None where the server does not say)."""

    texts: dict[str, str]
    tokens_in: int | None
    tokens_out: int | None


def write(facts: dict, base_url: str, model: str, languages: tuple[str, ...] = ("zh", "en")) -> Written:
    """Ask for the narrative once a language; the key is taken from OPENAI_API_KEY. Raises openai.OpenAIError."""
    client = openai.OpenAI(
        base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY", "none"), timeout=120, max_retries=1
    )
    texts, tokens_in, tokens_out = {}, 0, 0
    for language in languages:
        answer = client.chat.completions.create(
            model=model,
            temperature=0,
            max_tokens=LONGEST_TOKENS,
            messages=[
                {"role": "system", "content": PROMPTS[language]},
                {"role": "user", "content": json.dumps(_told(facts), ensure_ascii=False)},
            ],
        )
        texts[language] = (answer.choices[0].message.content or "") if answer.choices else ""
        tokens_in += answer.usage.prompt_tokens if answer.usage else 0
        tokens_out += answer.usage.completion_tokens if answer.usage else 0
    return Written(texts, tokens_in or None, tokens_out or None)


def _told(facts: dict) -> dict:
    """The facts as the model gets them: values of the parsers only, no line of a file."""
    region = ("noaa_ar", "location", "area_msh", "area_change_msh", "mcintosh_class", "hale_class", "n_spots")
    flare = ("goes_class", "begin", "peak", "noaa_ar", "location")
    return {
        "date": facts["flares_date"],
        "activity_level": facts["activity_level"]["value"],
        "regions": [{k: r[k] for k in region} for r in facts["regions"]],
        "flares": [{k: f[k] for k in flare} for f in facts["flares"]],
        "watch": [w["noaa_ar"] for w in facts["watch_list"]],
    }
