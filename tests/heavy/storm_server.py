"""A chat-completions server that misbehaves on purpose, in a process of its own: `python storm_server.py LOG [PACE]`.

Prints its port. PACE multiplies how long it holds a request (1.0: an answer takes 1.5 to 2.5 s). A line a request goes
to LOG when it arrives and another when its answer has been sent: wall-clock time, "in" or "out", number of the item,
fault, seconds it was held. About 30 % of the attempts go wrong, decided by the item's number modulo 1,000,000 and how
often it was asked, so a run can be repeated, also on the same server. For a second in each half minute the house is
closed: 429 with Retry-After.
"""

import asyncio
import hashlib
import json
import re
import sys
import time
import zlib
from collections import Counter

ITEM = re.compile(rb"item (\d+)")
LENGTH = re.compile(rb"content-length: (\d+)", re.I)
FAULTS = ((0.08, "500"), (0.13, "503"), (0.17, "wrong json"), (0.21, "truncated"), (0.24, "429"), (0.27, "dropped"))
SLOW = (0.30, "slow")
CLOSED_EVERY_S, CLOSED_FOR_S = 30.0, 1.0
GOOD = {name: "seen" for name in ("observe", "identify", "analyse", "conclude", "answer")}


def fault_of(item: int, n: int) -> tuple[str, float]:
    """What goes wrong with the n-th attempt of an item ("" nothing), and how long it is held."""
    place = item % 1_000_000
    u, v = (int.from_bytes(hashlib.sha256(f"{place}/{n}/{w}".encode()).digest()[:4], "big") / 2**32 for w in "uv")
    fault = next((name for limit, name in (*FAULTS, SLOW) if u < limit), "")
    # a vision-language model takes seconds for a reply of 200 tokens
    held = {"": 1.5 + v, "wrong json": 1.5 + v, "truncated": 1.5 + v, "slow": 5.0 + v}
    return fault, held.get(fault, 0.2 + 0.4 * v)


def response(status: int, body: bytes, headers: str = "", claimed: int | None = None) -> bytes:
    """An HTTP/1.1 response that keeps the connection."""
    length = len(body) if claimed is None else claimed
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n"
    return head.encode() + body


def completion(content: str) -> bytes:
    """A chat completion with this content."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 60, "completion_tokens": 40, "total_tokens": 100}
    body = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}
    return json.dumps(body).encode()


class Storm:
    """Counts what was asked and keeps the log."""

    def __init__(self, log, pace: float):
        self.log, self.pace, self.asked, self.opened = log, pace, Counter(), time.monotonic()

    def closed_s(self) -> float:
        """Seconds until the house opens again; 0 while it is open."""
        into = (time.monotonic() - self.opened) % CLOSED_EVERY_S
        return max(0.0, into - CLOSED_EVERY_S + CLOSED_FOR_S) and CLOSED_EVERY_S - into

    def note(self, what: str, item: int, fault: str, held: float) -> None:
        """A line of the log, on disk at once."""
        self.log.write(f"{time.time():.6f}\t{what}\t{item}\t{fault}\t{held:.6f}\n")
        self.log.flush()

    async def serve(self, reader, writer):
        """One connection, request after request."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(LENGTH.search(head)[1]))
                item = ITEM.search(body[-400:]) or ITEM.search(body)
                if not await self.answer(int(item[1]) if item else zlib.crc32(body) % 1_000_000, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client was killed
        writer.close()

    async def answer(self, item: int, writer) -> bool:
        """Answer one request; False where the connection is to be closed."""
        closed = self.closed_s()
        if closed:
            self.note("in", item, "closed", 0.0)
            writer.write(response(429, b'{"error": {"message": "closed"}}', f"retry-after: {closed:.3f}\r\n"))
            return True
        self.asked[item] += 1
        fault, held = fault_of(item, self.asked[item])
        held *= self.pace
        self.note("in", item, fault, held)
        await asyncio.sleep(held)
        if fault == "dropped":
            return False
        good = completion(json.dumps(GOOD))
        if fault == "truncated":
            writer.write(response(200, good[:100], claimed=len(good)))
            await writer.drain()
            return False
        if fault in ("500", "503", "429"):
            writer.write(response(int(fault), b'{"error": {"message": "fault"}}'))
        else:
            writer.write(response(200, completion('{"observe": ') if fault == "wrong json" else good))
        await writer.drain()
        self.note("out", item, fault, held)
        return True


async def main(path: str, pace: float) -> None:
    """Serve until killed."""
    with open(path, "a", encoding="utf-8") as log:
        server = await asyncio.start_server(Storm(log, pace).serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 1.0))
