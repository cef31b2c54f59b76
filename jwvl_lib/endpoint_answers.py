"""The benchmark's questions put to an OpenAI-compatible endpoint (vLLM, SGLang, `python -m jwvl_lib.serve`, a service).

Sends each picture as a PNG with its question, in the message form of training; writes nothing. The key is read from
OPENAI_API_KEY. An endpoint is asked for text only: a choice by likelihood needs the model in this process.
"""

import base64
import io
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
from PIL import Image

log = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(300.0, connect=10.0)
RETRIES = 3  # of a request that was refused (429, 5xx) or lost; the client waits as Retry-After says


def answer(
    images: Sequence[Image.Image],
    questions: Sequence[str],
    image_index: Sequence[int],
    *,
    base_url: str,
    model: str,
    max_new_tokens: int = 64,
    concurrency: int = 8,
) -> list[str]:
    """Greedy answers of the endpoint's `model`, as `vlm.answer` gives them; question i is about an image of its index.

    A question that stays without an answer gets "", which counts as wrong, and a line in the log. Raises
    ConnectionError where none was answered.
    """
    urls = {i: _data_url(images[i]) for i in set(image_index)}
    key = os.environ.get("OPENAI_API_KEY", "none")
    with openai.OpenAI(base_url=base_url, api_key=key, timeout=TIMEOUT, max_retries=RETRIES) as client:

        def ask(question: str, i: int) -> str | openai.OpenAIError:
            image = {"type": "image_url", "image_url": {"url": urls[i]}}
            content = [image, {"type": "text", "text": question}]
            try:
                reply = client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": content}],
                    temperature=0,
                    max_tokens=max_new_tokens,
                )
            except openai.OpenAIError as error:
                return error
            return (reply.choices[0].message.content or "").strip() if reply.choices else ""

        with ThreadPoolExecutor(concurrency) as pool:  # a server batches what comes at the same time
            replies = list(pool.map(ask, questions, image_index))
    failed = [reply for reply in replies if isinstance(reply, openai.OpenAIError)]
    if failed and len(failed) == len(replies):
        raise ConnectionError(f"{base_url} answered none of {len(replies)} questions ({_line(failed[0])}); is it up?")
    if failed:
        log.warning("%s: %d of %d questions without an answer (%s)", model, len(failed), len(replies), _line(failed[0]))
    return ["" if isinstance(reply, openai.OpenAIError) else reply for reply in replies]


def _data_url(image: Image.Image) -> str:
    """Lossless: JPEG would change what the model is asked about."""
    raw = io.BytesIO()
    image.save(raw, "PNG")
    return "data:image/png;base64," + base64.b64encode(raw.getvalue()).decode()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
