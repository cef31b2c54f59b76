"""500 damaged or hostile files among good ones: no crash, one reason each, the good files all kept."""

import gzip
import zlib

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from jwvl_lib import corpus, observations
from jwvl_lib.observations import UnreadableImage, open_observation

pytestmark = pytest.mark.heavy
N_BAD = 500
HOSTILE_NAMES = (
    "-rf *.fits", "$(touch hit).png", "..%2f..%2fetc.jpg", "a\nb.fits", "sun ☀ 太阳.jp2",
    "'; DROP TABLE corpus; --.gif",
    "x" * 200 + ".fits", "CON.png", ".fits.gz.fits", "\u202egnp.stif", "{0}{path}.fits", "%s%n%d.png",
    "sdo_aia171.exe.png", "<b>20140101_000000</b>.jpg".replace("/", "_"),
)  # fmt: skip
RULES = "truncate flip type bomb header name".split()


def _good_files(folder) -> list:
    """Small, sound files of every kind, with checksums where their format has them."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (64, 64), dtype=np.uint8)
    cards = fits.Header(
        {"DATE-OBS": "2014-01-01T00:00:00", "TELESCOP": "SDO/AIA", "INSTRUME": "AIA_3", "WAVELNTH": 171}
    )
    fits.PrimaryHDU(pixels.astype(np.float32), cards).writeto(folder / "good_1.fits", checksum=True)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels.astype(np.int16) + 1, cards)]).writeto(
        folder / "good_2.fits", checksum=True
    )
    (folder / "good_3.fits.gz").write_bytes(gzip.compress((folder / "good_1.fits").read_bytes() + b""))
    for i, suffix in enumerate(("png", "jpg", "gif"), start=4):
        Image.fromarray(np.roll(pixels, i)).save(folder / f"sdo_aia171_2014010{i}_000000.{suffix}")
    jp2 = observations.sunpy_data() / "2013_05_13__16_54_06_137__SOHO_LASCO_C3_white-light.jp2"
    (folder / jp2.name).write_bytes(jp2.read_bytes())
    return sorted(folder.iterdir())


def _damage(rule: str, content: bytes, rng) -> bytes:
    if rule == "truncate":
        return content[: int(len(content) * rng.uniform(0, 0.9))]
    if rule == "flip":
        changed = bytearray(content)
        for place in rng.integers(0, len(changed), 40):
            changed[place] ^= int(rng.integers(1, 256))
        return bytes(changed)
    if rule == "header":
        noise = rng.integers(0, 256, 400, dtype=np.uint8).tobytes()
        return content[:30] + noise + content[430:]
    return rng.integers(0, 256, int(rng.integers(1, 3000)), dtype=np.uint8).tobytes()


def _bomb(kind: int) -> tuple[str, bytes]:
    """A small file that claims, or unpacks to, far too much."""
    cards = "".join(f"{k:<8}= {v:>20}".ljust(80) for k, v in (
        ("SIMPLE", "T"), ("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", 10**6), ("NAXIS2", 10**6),
        ("DATE-OBS", "'2014-01-01'"),
    )) + "END".ljust(80)  # fmt: skip
    header = cards.ljust(2880).encode()
    if kind == 0:
        return "fits", header
    if kind == 1:
        return "fits.gz", gzip.compress(header + bytes(40_000_000))
    body = b"IHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    data = b"IDAT" + zlib.compress(bytes(10_000_000))
    chunks = [len(b[4:]).to_bytes(4, "big") + b + zlib.crc32(b).to_bytes(4, "big") for b in (body, data, b"IEND")]
    return "png", b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _write_bad(folder, good: list, n: int) -> None:
    rng = np.random.default_rng(1)
    for i in range(n):
        rule = RULES[i % len(RULES)]
        source = good[i // len(RULES) % len(good)]
        suffix = "".join(source.suffixes[-2:] if source.name.endswith(".gz") else source.suffixes[-1:])
        name, content = f"bad_{i:03d}_20140101_000000{suffix}", source.read_bytes()
        if rule == "bomb":
            kind, content = _bomb(i // len(RULES) % 3)
            name = f"bad_{i:03d}.{kind}"
        elif rule == "type":
            name = f"bad_{i:03d}_20140101_000000{('.fits', '.png', '.jp2', '.gif')[i // 6 % 4]}"
            content = (b"<html>404</html>", b"", b"%PDF-1.4", b"PK\x03\x04", b"\x7fELF")[i // 6 % 5] * 20
        elif rule == "name":
            name = f"{i:03d}{HOSTILE_NAMES[i // len(RULES) % len(HOSTILE_NAMES)]}"
            content = _damage("noise", content, rng)
        else:
            content = _damage(rule, content, rng)
        (folder / name).write_bytes(content)


def test_500_hostile_files_stop_nothing(tmp_path, record):
    folder = tmp_path / "in"
    folder.mkdir()
    good = _good_files(folder)
    _write_bad(folder, good, N_BAD)
    paths = sorted(folder.iterdir())
    assert len(paths) == len(good) + N_BAD
    reasons, opened = {}, []
    for path in paths:
        try:
            opened.append(path.name)
            open_observation(path)
        except UnreadableImage as error:
            opened.pop()
            reasons[path.name] = error.reason
    kept = {p.name for p in good} & set(opened)
    # a flip in the pixels of a JPEG, in padding or in a comment leaves a sound image
    survivors = sorted(set(opened) - kept)
    counts = f"{len(reasons)} of {N_BAD} refused, {len(survivors)} still sound, {len(kept)} of {len(good)} good kept"
    print(f"\nhostile files: {counts}")
    silent = sum(not reason or "\n" in reason for reason in reasons.values()) + len(good) - len(kept)
    record("hostile_files", silent, 0, N_BAD, note=counts)
    assert len(kept) == len(good)
    assert all(reason and "\n" not in reason and len(reason) < 500 for reason in reasons.values())
    assert len(reasons) + len(opened) == len(paths)
    assert all("_20140101" in name for name in survivors)
    assert len(reasons) >= 0.9 * N_BAD

    table, rejects = corpus.build_corpus(tmp_path / "out", "", folder, "", 0, workers=1)
    assert len(rejects) == rejects["path"].nunique()
    assert len(table) + len(rejects) == len(paths)
    assert not rejects["reason"].str.contains("\n").any()
    repeated = rejects[rejects["path"].isin([f"local/{p.name}" for p in good])]
    assert set(repeated["path"]) <= {"local/good_2.fits", "local/good_3.fits.gz"}  # good_1 one level up, and compressed
    assert repeated["reason"].str.match("same pixels as|duplicate of").all()
