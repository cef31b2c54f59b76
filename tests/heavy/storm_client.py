"""A client of the storm, to be killed: `python storm_client.py FOLDER PORT FIRST N_REQUESTS LIMITS_AS_JSON`.

Prints the seconds of processor time that asking took, in JSON, once all is answered.
"""

import json
import sys
import time
from pathlib import Path

from jwvl_lib.teacher_client import Limits, ask_all
from jwvl_lib.teacher_ledger import Request

N_IMAGES = 20
SYSTEM = "Describe the image. " * 60  # about as long as a prompt with its examples


def requests(first: int, n: int) -> list[Request]:
    """n different requests about 20 images."""
    asked = ("description", 1, "en", "m", '{"temperature": 0.2}', SYSTEM)
    numbers = range(first, first + n)
    return [Request(f"image{k % N_IMAGES:02d}", f"sha{k % N_IMAGES}", *asked, f"item {k}") for k in numbers]


def main(folder: Path, port: int, first: int, n: int, limits: dict) -> None:
    """Ask everything the ledger has not settled."""
    todo, cpu = requests(first, n), time.process_time()
    ask_all(
        todo,
        folder / "teacher.sqlite",
        images_of=lambda request: [folder / f"{request.image_id}.png"],
        choices_of=lambda request: (),
        tokens_of=lambda request: 100,
        base_url=f"http://127.0.0.1:{port}/v1",
        limits=Limits(**limits),
    )
    print(json.dumps({"cpu_s": time.process_time() - cpu}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5]))
