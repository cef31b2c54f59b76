"""Image files: pixels and header of one FITS, JPEG2000, PNG, JPEG or GIF file, or one clear line why not.

Reads the file and nothing else; writes nothing. JPEG2000 brings its FITS header in an XML box, a plain picture at most
a few cards in its texts. Size is checked before pixels are decoded, content against the suffix, XML without entities.
Rows come bottom first, as FITS has them, whatever the file's own order.
"""

import io
import logging
import re
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from defusedxml import ElementTree
from PIL import Image

LOGGER = logging.getLogger(__name__)

MAX_FILE_BYTES = 1 << 29
MAX_PIXELS = 8192 * 8192
MIN_SIDE = 16
MIN_LEVELS = 9  # fewer distinct values: a mask or an empty frame, not a picture of the Sun
KINDS = {
    ".fits": "fits", ".fts": "fits", ".fit": "fits", ".fz": "fits", ".jp2": "jp2", ".jpg": "jpeg", ".jpeg": "jpeg",
    ".png": "png", ".gif": "gif",
}  # fmt: skip
TEXT_CARDS = {  # what identifies and dates an image; no geometry, a picture may have been cut since
    "TELESCOP", "INSTRUME", "DETECTOR", "OBSRVTRY", "ORIGIN", "WAVELNTH", "WAVE_LEN", "WAVE", "TWAVE1", "IMTYPE",
    "CONTENT", "BUNIT", "OBS_TYPE", "DPC_OBSR", "DATE-OBS", "DATE_OBS", "TIME-OBS", "T_OBS", "DATE-BEG", "SIMULATED",
}  # fmt: skip
MAX_TEXT = 100_000
EXIF_DESCRIPTION = 270
SIGNATURES = {
    "fits": (b"SIMPLE  =", b"XTENSION="),
    "gzip": (b"\x1f\x8b",),
    "jp2": (b"\x00\x00\x00\x0cjP  ",),
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF87a", b"GIF89a"),
    "html": (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"),
}


class UnreadableImage(ValueError):
    """A file that is no usable observation; `reason` is one line with the value, the rule and the remedy.

    Decoders quote the path they were given: the folder is left out, a reason is the same on every machine.
    """

    def __init__(self, path: Path | str, reason: str):
        self.path, self.reason = str(path), " ".join(str(reason).replace(str(path), Path(path).name).split())
        super().__init__(f"{' '.join(Path(path).name.split())}: {self.reason}")


def read_image(path: Path) -> tuple[str, np.ndarray, np.ndarray | None, dict]:
    """Kind (fits, jp2, jpeg, png, gif), float32 pixels (rows, columns), uint8 colours or None, and FITS header.

    Raises `UnreadableImage` where the file is not one two-dimensional picture of its kind.
    """
    kind = _kind(path)
    if kind == "fits":
        data, header = _read_fits(path)
        rgb = None
    else:
        data, rgb, header = _read_picture(path)
        header = _jp2_header(path, data.shape) if kind == "jp2" else header
    _check_pixels(path, data)
    return kind, data, rgb, header


def _kind(path: Path) -> str:
    """Kind by suffix, checked against size and first bytes."""
    suffixes = [s.lower() for s in path.suffixes]
    suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    kind = KINDS.get(suffix)
    if kind is None:
        raise UnreadableImage(path, f"suffix {suffix!r} is no image kind; one of {', '.join(KINDS)} (.gz)")
    size = path.stat().st_size
    if size == 0:
        raise UnreadableImage(path, "the file is empty (0 bytes); fetch it again")
    if size > MAX_FILE_BYTES:
        raise UnreadableImage(path, f"{size} bytes are above the limit of {MAX_FILE_BYTES}; cut the image down first")
    with path.open("rb") as stream:
        start = stream.read(512).lstrip(b"\xef\xbb\xbf\r\n\t ") if kind != "jp2" else stream.read(512)
    found = next((k for k, marks in SIGNATURES.items() if start.startswith(marks)), "something else")
    if found != kind and not (kind == "fits" and found == "gzip"):
        raise UnreadableImage(path, f"the content is {found}, its suffix {suffix} says {kind}; rename or fetch again")
    return kind


def _read_fits(path: Path) -> tuple[np.ndarray, dict]:
    """First two-dimensional image of the file, float32, and its header over the primary one."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AstropyUserWarning)
            with fits.open(path, memmap=False, checksum=True) as hdus:
                hdu = _image_hdu(path, hdus)
                header = {**_cards(hdus[0].header), **_cards(hdu.header)}
                data = np.squeeze(np.asarray(hdu.data))
                data = (data[0] if data.ndim == 3 else data).astype(np.float32)
    except UnreadableImage:
        raise
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise UnreadableImage(path, f"FITS cannot be decoded ({type(error).__name__}: {error}); fetch again") from error
    damage = next(filter(None, (_damage(str(w.message), header) for w in caught)), "")
    if damage:
        raise UnreadableImage(path, f"FITS is damaged: {damage}; fetch it again")
    return data, header


def _damage(warning: str, header: dict) -> str:
    """What a warning of astropy means: missing data, or pixels that no longer fit their DATASUM; else ""."""
    lengths = re.search(r"actual file length \((\d+)\) is smaller than the expected size \((\d+)\)", warning)
    # less than a block of 2880 bytes is the padding at the end, which some writers leave out
    if lengths and int(lengths[2]) - int(lengths[1]) >= 2880:
        return f"truncated, {lengths[1]} of {lengths[2]} bytes"
    # the FITS standard (4.4.2.7) has DATASUM as text; the integers that IRAF wrote do not fit their data
    if "Datasum verification failed" in warning and isinstance(header.get("DATASUM"), str):
        return "the pixels do not fit DATASUM, bytes changed since it was written (or resized with the old header)"
    return ""


def _image_hdu(path: Path, hdus: fits.HDUList):
    """The first extension with a 2-D image; its size is checked before its pixels are read.

    A cube over time counts too: its first plane is the image at DATE_OBS. Any other cube is refused.
    """
    shapes = []
    for hdu in hdus:
        shape = tuple(n for n in (hdu.shape if hdu.is_image else ()) if n != 1)
        shapes.append("x".join(map(str, shape)) if hdu.is_image else "table")
        if len(shape) == 2:
            _check_size(path, *shape)
            return hdu
        if len(shape) == 3 and str(hdu.header.get("CTYPE3", "")).strip().upper() == "TIME":
            _check_size(path, shape[0] * shape[1], shape[2])
            return hdu
        if len(shape) > 2:
            raise UnreadableImage(path, f"a cube of {shapes[-1]}, not one image; write the plane you want as 2-D FITS")
    raise UnreadableImage(path, f"no 2-D image in the file (extensions: {', '.join(s or 'empty' for s in shapes)})")


def _cards(header: fits.Header) -> dict:
    """Keyword -> value without comments; a card that does not parse is left out, the rest still counts."""
    cards = {}
    for card in header.cards:
        try:
            if card.keyword not in ("", "COMMENT", "HISTORY") and isinstance(card.value, str | int | float):
                cards[card.keyword.upper()] = card.value.strip() if isinstance(card.value, str) else card.value
        except fits.VerifyError:
            LOGGER.debug("unparsable FITS card left out: %r", card.image)
    return cards


def _read_picture(path: Path) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Display levels as float32, bottom row first, the colours where the picture has them, and cards in its texts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                _check_size(path, picture.height, picture.width)
                if getattr(picture, "n_frames", 1) > 1:
                    raise UnreadableImage(path, f"{picture.n_frames} frames, not one image; save the frame you want")
                picture.load()
                cards = _text_cards(picture)
                levels = picture if picture.mode in ("L", "I;16", "I", "F") else picture.convert("RGB")
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(path, f"above the limit of {MAX_PIXELS} pixels ({error}); reduce it first") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise UnreadableImage(path, f"the picture cannot be decoded ({error}); fetch it again") from error
    pixels = np.asarray(levels)[::-1]
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        scale = 255 / 65535 if levels.mode in ("I;16", "I") else 1.0
        return np.ascontiguousarray(pixels, dtype=np.float32) * np.float32(scale), None, cards
    rgb = np.ascontiguousarray(pixels)
    return (rgb @ np.float32([0.299, 0.587, 0.114])).astype(np.float32), rgb, cards


def _text_cards(picture: Image.Image) -> dict:
    """FITS cards that a picture carries as text: PNG chunks named like keywords, "KEY = value" lines of any comment.

    Nothing else counts: the time in EXIF or in a chunk "Creation Time" says when the picture was made, not the Sun's.
    """
    texts = {str(k): v.decode("latin-1") if isinstance(v, bytes) else v for k, v in picture.info.items()}
    texts["description"] = picture.getexif().get(EXIF_DESCRIPTION)
    cards = {}
    for key, text in texts.items():
        if not isinstance(text, str):
            continue
        lines = [f"{key}={text}"] if key.upper() in TEXT_CARDS else text[:MAX_TEXT].splitlines()
        for name, value in (line.split("=", 1) for line in lines if "=" in line):
            if name.strip().upper() in TEXT_CARDS:
                cards[name.strip().upper()] = _number(value.split(" / ")[0].strip().strip("'\"").strip())
    return cards


def _jp2_header(path: Path, shape: tuple[int, int]) -> dict:
    """FITS header in the XML box (Helioviewer's convention), {} if there is none that parses.

    A down-sampled file may still carry the header of its original: pixel keywords are scaled to the real size.
    """
    text = _xml_box(path.read_bytes())
    try:
        root = ElementTree.fromstring(text) if text else None
    except Exception as error:  # defusedxml raises its own classes next to ParseError
        LOGGER.warning("%s: XML header left out (%s)", path.name, error)
        return {}
    element = root if root is None or root.tag.lower() == "fits" else root.find(".//fits")
    if element is None:
        return {}
    header = {e.tag.upper(): _number(e.text or "") for e in element}
    header.update({"HELIOVIEWER": 1} if root.find(".//helioviewer") is not None else {})
    wide = header.get("NAXIS1")
    factor = wide / shape[1] if isinstance(wide, int | float) and wide > 0 else 1.0
    if factor != 1:
        for axis in "12":
            header[f"CRPIX{axis}"] = (float(header.get(f"CRPIX{axis}", 0.5)) - 0.5) / factor + 0.5
            header[f"CDELT{axis}"] = float(header.get(f"CDELT{axis}", 0)) * factor
    return header


def _xml_box(content: bytes) -> bytes:
    """Payload of the first XML box of a JPEG2000 file (ISO 15444-1, annex I), b"" if there is none."""
    stream = io.BytesIO(content)
    while head := stream.read(8):
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        length = int.from_bytes(stream.read(8), "big") - 8 if length == 1 else length
        if kind == b"xml " and length >= 8:
            return stream.read(length - 8).strip(b"\x00 \r\n\t")
        if length < 8:
            return b""
        stream.seek(length - 8, io.SEEK_CUR)
    return b""


def _number(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text.strip()


def _check_size(path: Path, rows: int, columns: int) -> None:
    if rows * columns > MAX_PIXELS:
        raise UnreadableImage(path, f"{columns}x{rows} pixels are above the limit of {MAX_PIXELS}; reduce it first")
    if min(rows, columns) < MIN_SIDE:
        raise UnreadableImage(path, f"{columns}x{rows} pixels are too few to show the Sun; at least {MIN_SIDE} a side")


def _check_pixels(path: Path, data: np.ndarray) -> None:
    """Refuse empty frames and masks: they would be captioned as if they showed the Sun."""
    finite = data.ravel() if np.isfinite(data.sum()) else data[np.isfinite(data)]
    if finite.size < data.size // 100 + 1:
        raise UnreadableImage(path, f"{finite.size} of {data.size} pixels are finite; nothing to show")
    few = np.unique(finite[:: max(1, finite.size // 4096)])
    if few.size < MIN_LEVELS and (levels := np.unique(finite).size) < MIN_LEVELS:
        raise UnreadableImage(path, f"{levels} distinct values: a mask or empty frame; {MIN_LEVELS} are the least")
