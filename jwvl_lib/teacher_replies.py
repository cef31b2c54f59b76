"""What a server sends back, read and judged: the output schema, plain and streamed completions, what an error means.

Reads and writes nothing.
"""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import openai
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jwvl_lib.prompts import STEPS
from jwvl_lib.teacher_ledger import ANSWERED, INVALID

FENCED = re.compile(r"^```(?:json)?\s*(.*?)\s*```$", re.S)
THOUGHT = re.compile(r"^.*</think>", re.S)  # reasoning models put their thoughts before the answer


class Reply(BaseModel):
    """The output schema of the prompts."""

    model_config = ConfigDict(str_strip_whitespace=True)

    observe: str = Field(min_length=1)
    identify: str = Field(min_length=1)
    analyse: str = Field(min_length=1)
    conclude: str = Field(min_length=1)
    answer: str = Field(min_length=1)

    @property
    def steps(self) -> list[str]:
        return [getattr(self, name) for name in STEPS]


def parse_reply(raw: str, choices: Sequence[str] = ()) -> Reply:
    """The reply in a raw answer, out of a code fence or after a `</think>` where there is one.

    Raises ValueError where it is not the JSON asked for, or where a closed question's answer is none of its choices.
    """
    text = THOUGHT.sub("", raw).strip()
    fenced = FENCED.match(text)
    try:
        reply = Reply.model_validate_json(fenced[1] if fenced else text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'reply'}: {first['msg']}") from None
    if choices and reply.answer not in choices:
        raise ValueError(f"answer {reply.answer!r} is none of the choices {' / '.join(choices)}")
    return reply


def read_completion(completion: object, choices: Sequence[str]) -> dict:
    """What an HTTP 200 brought, as columns of an attempt: `answered`, or `invalid` with the reason.

    A body that is no chat completion (a proxy's page, an empty list of choices) is an invalid answer like any other.
    """
    if not isinstance(completion, ChatCompletion):
        return {"outcome": INVALID, "http_status": 200, "raw": str(completion), "error": "no chat completion"}
    choice = completion.choices[0] if completion.choices else None
    raw = (choice.message.content if choice and choice.message else None) or ""
    usage = completion.usage.model_dump_json(exclude_none=True) if completion.usage else "{}"
    finish = (choice.finish_reason if choice else None) or ""
    return judged_text(raw, choices, finish, completion.id or "", usage)


async def read_stream(chunks: AsyncIterator, choices: Sequence[str]) -> dict:
    """The same of a streamed completion, put together: some reasoning models (QVQ) answer in no other way.

    Their thoughts (`reasoning_content`) are kept before `</think>`, where models that do not stream put them.
    """
    content, thoughts, finish, response_id, usage = [], [], "", "", "{}"
    async for chunk in chunks:
        response_id = chunk.id or response_id
        usage = chunk.usage.model_dump_json(exclude_none=True) if chunk.usage else usage
        for choice in chunk.choices[:1]:
            content.append(choice.delta.content or "")
            thoughts.append(getattr(choice.delta, "reasoning_content", None) or "")
            finish = choice.finish_reason or finish
    thought = "".join(thoughts)
    raw = (f"<think>{thought}</think>" if thought else "") + "".join(content)
    return judged_text(raw, choices, finish, response_id, usage)


def judged_text(raw: str, choices: Sequence[str], finish_reason: str, response_id: str, usage: str) -> dict:
    """Columns of an attempt for the text of an answer."""
    found = {"raw": raw, "http_status": 200, "finish_reason": finish_reason, "response_id": response_id, "usage": usage}
    try:
        parse_reply(raw, choices)
    except ValueError as error:
        cut = "cut at max_tokens; " if finish_reason == "length" else ""
        return {"outcome": INVALID, "error": cut + str(error), **found}
    return {"outcome": ANSWERED, **found}


def retry_after_s(error: openai.APIStatusError) -> float | None:
    """Seconds that a server asks to wait (Retry-After as seconds or as an HTTP date); None where it does not say."""
    value = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
