"""A client of the storm, to be killed: `python storm_client.py FOLDER PORT N_REQUESTS LIMITS_AS_JSON`."""

import json
import sys
from pathlib import Path

from jwvl_lib.teacher_client import Limits, ask_all
from jwvl_lib.teacher_ledger import Request

N_IMAGES = 20


def requests(n: int) -> list[Request]:
    """n different requests about 20 images."""
    system = "Describe the image. " * 60  # about as long as a prompt with its examples
    asked = ("description", 1, "en", "m", '{"temperature": 0.2}', system)
    return [Request(f"image{k % N_IMAGES:02d}", f"sha{k % N_IMAGES}", *asked, f"item {k}") for k in range(n)]


def main(folder: Path, port: int, n: int, limits: dict) -> None:
    """Ask everything the ledger has not settled."""
    ask_all(
        requests(n),
        folder / "teacher.sqlite",
        images_of=lambda request: [folder / f"{request.image_id}.png"],
        choices_of=lambda request: (),
        tokens_of=lambda request: 100,
        base_url=f"http://127.0.0.1:{port}/v1",
        limits=Limits(**limits),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
