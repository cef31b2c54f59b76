"""One request to an OpenAI-compatible server over aiohttp, and what came back, plain or streamed.

Reads the PNGs it sends. The openai client would do the same at five times the processor time, which at a hundred
requests a second is more than a core has.
"""

import base64
import io
import json
import os
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from pathlib import Path

import aiohttp

from jwvl_lib.teacher_ledger import Request
from jwvl_lib.teacher_replies import read_completion, read_stream, retry_after_s

OPENAI = "https://api.openai.com/v1"
PNG = b"\x89PNG\r\n\x1a\n"


def open_session(timeout_s: float) -> aiohttp.ClientSession:
    """A session with the key of OPENAI_API_KEY; `timeout_s` is for connecting and for each wait for bytes."""
    headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}
    return aiohttp.ClientSession(
        headers=headers | {"Content-Type": "application/json"},
        connector=aiohttp.TCPConnector(limit=0),  # the workers are the limit
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s),
        read_bufsize=2**20,  # a line of a stream may be long
        trust_env=True,
    )


def address(base_url: str) -> str:
    """Where chat completions are asked for; "" is OPENAI_BASE_URL, or OpenAI's own server."""
    return (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/") + "/chat/completions"


async def ask(
    session: aiohttp.ClientSession, url: str, body: dict, choices: Sequence[str]
) -> tuple[int, dict, float | None]:
    """Send one request: HTTP status, columns of an attempt, and the seconds that the server asks to wait (or None).

    Raises aiohttp.ClientError, TimeoutError or ValueError where there is no answer, or one that breaks off.
    """
    async with session.post(url, data=io.BytesIO(json.dumps(body, ensure_ascii=False).encode())) as response:
        if response.status >= 300:
            text = await response.text(errors="replace")
            found = {"http_status": response.status, "raw": text, "error": f"HTTP {response.status}: {text[:300]}"}
            return response.status, found, retry_after_s(response.headers.get("Retry-After", ""))
        if response.content_type == "text/event-stream":
            return response.status, await read_stream(_chunks(response), choices), None
        text = await response.text(errors="replace")
        if "json" not in response.content_type:
            return response.status, read_completion(text, choices), None
        return response.status, read_completion(json.loads(text), choices), None


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[dict]:
    """The objects of a server-sent event stream."""
    async for line in response.content:
        data = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and data != b"[DONE]":
            yield json.loads(data)


def body_of(request: Request, images: Sequence[Path]) -> dict:
    """The request as it is sent. OSError or ValueError where an image cannot be read or is no PNG."""
    parameters = json.loads(request.parameters)
    messages = chat_messages(request, [_data_url(path) for path in images], parameters.pop("no_system_message", False))
    return {"model": request.model, "messages": messages, **parameters}


def chat_messages(request: Request, data_urls: Sequence[str], no_system_message: bool = False) -> list[dict]:
    """The messages as sent. Some reasoning models want no system message: its text then opens the user's."""
    text = f"{request.system}\n\n{request.user}" if no_system_message else request.user
    images = [{"type": "image_url", "image_url": {"url": url}} for url in data_urls]
    user = {"role": "user", "content": [*images, {"type": "text", "text": text}]}
    return [user] if no_system_message else [{"role": "system", "content": request.system}, user]


@lru_cache(maxsize=64)  # the annotations of one image follow each other
def _data_url(path: Path) -> str:
    data = path.read_bytes()
    if not data.startswith(PNG):
        raise ValueError(f"{path.name} is no PNG; only PNG images are sent")
    return "data:image/png;base64," + base64.b64encode(data).decode()
