"""What a server sends back, read and judged: the output schema, plain and streamed completions, what an error means.

Reads and writes nothing.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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

    `completion` is its JSON. What is no chat completion (a proxy's page, an empty list of choices) is an invalid answer
    like any other.
    """
    try:
        choice = completion["choices"][0]
        raw = choice["message"]["content"] or ""
        raw = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)
        return judged_text(raw, choices, *(str(v or "") for v in (choice.get("finish_reason"), completion.get("id"))),
                           _usage(completion))  # fmt: skip
    except (TypeError, KeyError, IndexError, AttributeError):
        raw = completion if isinstance(completion, str) else json.dumps(completion, ensure_ascii=False)
        return {"outcome": INVALID, "http_status": 200, "raw": raw, "error": "no chat completion"}


def _usage(completion: Mapping) -> str:
    """The counts of tokens that a completion gives, as JSON."""
    usage = completion.get("usage")
    return json.dumps({k: v for k, v in usage.items() if v is not None}) if isinstance(usage, dict) else "{}"


async def read_stream(chunks: AsyncIterator[Mapping], choices: Sequence[str]) -> dict:
    """The same of a streamed completion, put together: some reasoning models (QVQ) answer in no other way.

    Their thoughts (`reasoning_content`) are kept before `</think>`, where models that do not stream put them.
    ValueError where a chunk is none.
    """
    content, thoughts, finish, response_id, usage = [], [], "", "", "{}"
    async for chunk in chunks:
        try:
            response_id = chunk.get("id") or response_id
            usage = _usage(chunk) if chunk.get("usage") else usage
            for choice in (chunk.get("choices") or [])[:1]:
                delta = choice.get("delta") or {}
                content.append(str(delta.get("content") or ""))
                thoughts.append(str(delta.get("reasoning_content") or ""))
                finish = choice.get("finish_reason") or finish
        except (AttributeError, TypeError):
            raise ValueError(f"a chunk of the stream is none: {str(chunk)[:200]}") from None
    thought = "".join(thoughts)
    raw = (f"<think>{thought}</think>" if thought else "") + "".join(content)
    return judged_text(raw, choices, str(finish), str(response_id), usage)


def judged_text(raw: str, choices: Sequence[str], finish_reason: str, response_id: str, usage: str) -> dict:
    """Columns of an attempt for the text of an answer."""
    found = {"raw": raw, "http_status": 200, "finish_reason": finish_reason, "response_id": response_id, "usage": usage}
    try:
        parse_reply(raw, choices)
    except ValueError as error:
        cut = "cut at max_tokens; " if finish_reason == "length" else ""
        return {"outcome": INVALID, "error": cut + str(error), **found}
    return {"outcome": ANSWERED, **found}


def retry_after_s(value: str) -> float | None:
    """Seconds that a server asks to wait (Retry-After as seconds or as an HTTP date); None where it does not say."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
