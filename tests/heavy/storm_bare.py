"""The least that a client of the storm can do: `python storm_bare.py FOLDER PORT FIRST N_REQUESTS LIMITS_AS_JSON`.

Same HTTP library (aiohttp), same requests, same workers and waits as `jwvl_lib.teacher_client`, but no ledger, no
schema, no budget, no spacing. What the teacher's client takes more than this one is its own. Prints the seconds of
processor time, in JSON.
"""

import asyncio
import base64
import json
import random
import sys
import time
from functools import cache
from pathlib import Path

import aiohttp
from storm_client import N_IMAGES, SYSTEM

HEADERS = {"Content-Type": "application/json"}


@cache
def data_url(path: Path) -> str:
    """The picture as it is sent."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def body_of(folder: Path, item: int) -> bytes:
    """The request as the teacher's client sends it."""
    url = data_url(folder / f"image{item % N_IMAGES:02d}.png")
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": f"item {item}"}]
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
    return json.dumps({"model": "m", "messages": messages, "temperature": 0.2}).encode()


class Bare:
    """Workers over a queue of items; what fails comes back to the queue after its wait."""

    def __init__(self, http, url: str, folder: Path, items: range, first_wait_s: float):
        self.http, self.url, self.folder, self.first_wait_s = http, url, folder, first_wait_s
        self.queue, self.failures, self.n_open, self.resume_at = asyncio.Queue(), {}, len(items), 0.0
        for item in items:
            self.queue.put_nowait(item)

    async def work(self) -> None:
        """One worker; None in the queue ends it."""
        while self.n_open and (item := await self.queue.get()) is not None:
            while (pause := self.resume_at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            wait_s = await self.ask(item)
            if wait_s is None:
                self.n_open -= 1
            else:
                asyncio.get_running_loop().call_later(wait_s, self.queue.put_nowait, item)
        self.queue.put_nowait(None)

    async def ask(self, item: int) -> float | None:
        """One attempt: seconds to wait before the next, None where it was answered."""
        try:
            async with self.http.post(self.url, data=body_of(self.folder, item), headers=HEADERS) as answer:
                body = await answer.json()
            if answer.status == 200:
                return None if "answer" in body["choices"][0]["message"]["content"] else 0.0
            if "Retry-After" in answer.headers:
                self.resume_at = time.monotonic() + float(answer.headers["Retry-After"])
                return self.resume_at - time.monotonic()
        except Exception:  # noqa: BLE001, S110 (dropped, cut off, no JSON: all the same here)
            pass
        self.failures[item] = self.failures.get(item, 0) + 1
        return random.uniform(0, self.first_wait_s * 2 ** self.failures[item])


async def main(folder: Path, port: int, items: range, limits: dict) -> None:
    """Ask until all is answered."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        bare = Bare(http, f"http://127.0.0.1:{port}/v1/chat/completions", folder, items, limits["first_wait_s"])
        cpu = time.process_time()
        await asyncio.gather(*(bare.work() for _ in range(limits["concurrency"])))
    print(json.dumps({"cpu_s": time.process_time() - cpu}))


if __name__ == "__main__":
    first, n = int(sys.argv[3]), int(sys.argv[4])
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), range(first, first + n), json.loads(sys.argv[5])))
