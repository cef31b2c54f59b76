"""The instrument table: which header (or file name) means which instrument, and how its pictures are drawn.

Reads `jwvl_lib/data/instruments.yaml` and nothing else; writes nothing. What no row fits stays unnamed: an observation
is called "unknown" before it is called wrong.
"""

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from jwvl_lib import knowledge

TABLE = Path(__file__).parent / "data" / "instruments.yaml"
LAYERS = knowledge.values("layer")  # upwards
STRETCHES = ("linear", "sqrt", "log", "asinh")
SCALES = ("exposure", "data", "disk_median", "percentile")
STATUSES = ("seen", "header", "table")
BANNER_CHARACTERS = 20
UNKNOWN = "unknown"  # what no row fits is called


@dataclass(frozen=True)
class Stretch:
    """Default stretch of an instrument: `kind` between `low` and `high`, which are given in `scale` (see the table)."""

    kind: str
    low: float
    high: float
    scale: str = "data"


@dataclass(frozen=True)
class Instrument:
    """One channel of one instrument: a row of the table.

    `wavelength_angstrom` and `log_temperature` (log10 of kelvin) are NaN where the table has none. `conditions` are
    alternatives; a header fits when every keyword of one of them fits. `status`: seen, header or table.
    """

    observatory: str
    instrument: str
    detector: str
    measurement: str
    wavelength_angstrom: float
    layer: str
    ion: str
    log_temperature: float
    unit: str
    stretch: Stretch
    colormap: str
    credit: str
    status: str
    file_name: str
    conditions: tuple[tuple[tuple[str, object], ...], ...]

    @property
    def name(self) -> str:
        """Display name, such as "SDO/AIA 171"."""
        return display_name(self.observatory, self.instrument, self.measurement)


@functools.cache
def load_instruments() -> tuple[Instrument, ...]:
    """All rows of the table, in its order (the first that fits a header wins)."""
    families = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return tuple(_row(family, channel) for family in families for channel in family["channels"])


def identify(header: Mapping, file_name: str = "") -> Instrument | None:
    """The row that a header fits, or None; an instrument is never guessed.

    `header` maps FITS keywords to values (any letter case); `file_name` counts only where a row asks for it, as for
    HMI patches, whose segment stands nowhere else.
    """
    upper = {str(k).upper(): v for k, v in header.items()}
    upper["FILE"] = Path(file_name).name
    return next((row for row in load_instruments() if any(_fits(c, upper) for c in row.conditions)), None)


def identify_name(file_name: str) -> Instrument | None:
    """The row that the name of a picture without a header fits ("sdo_aia193_2014_07_15T21_59_55.png"), or None."""
    name = Path(file_name).name
    rows = [r for r in load_instruments() if r.file_name and re.search(rf"(?<![a-z]){r.file_name}", name, re.I)]
    return rows[0] if rows else None


def find_instrument(observatory: str, instrument: str, measurement: str) -> Instrument | None:
    """The row of that name, or None: how a picture of the corpus finds its colormap and credit again."""
    key = (observatory, instrument, measurement)
    return next((r for r in load_instruments() if (r.observatory, r.instrument, r.measurement) == key), None)


def display_name(observatory: str, instrument: str, measurement: str) -> str:
    """Name for banners and questions: "SDO/AIA 171", "SDO/HMI magnetogram", "GONG H-alpha", "unknown"."""
    if measurement in ("", UNKNOWN):
        return UNKNOWN
    place = observatory if observatory == instrument else "/".join(filter(None, (observatory, instrument)))
    return f"{place} {measurement}".strip()


def banner_name(observatory: str, instrument: str, measurement: str) -> str:
    """The display name where it fits the banner's twenty characters, else without the observatory, else cut off."""
    name = display_name(observatory, instrument, measurement)
    name = name if len(name) <= BANNER_CHARACTERS else f"{instrument} {measurement}"
    return name.encode("ascii", "replace").decode()[:BANNER_CHARACTERS]


def _row(family: dict, channel: dict) -> Instrument:
    """A channel over its family, the conditions of both joined."""
    both = {**family, **channel}
    text = {k: v.replace("{measurement}", both["measurement"]) for k, v in both.items() if isinstance(v, str)}
    base = {**family.get("match", {}), **channel.get("match", {})}
    outer, inner = family.get("match_any", [{}]), channel.get("match_any", [{}])
    conditions = tuple(tuple({**base, **a, **b}.items()) for a in outer for b in inner)
    return Instrument(
        observatory=text["observatory"],
        instrument=text["instrument"],
        detector=text.get("detector", ""),
        measurement=text["measurement"],
        wavelength_angstrom=float(both.get("wavelength_angstrom", math.nan)),
        layer=text["layer"],
        ion=text.get("ion", ""),
        log_temperature=float(both.get("log_temperature", math.nan)),
        unit=text["unit"],
        stretch=Stretch(**both["stretch"]),
        colormap=text["colormap"],
        credit=text["credit"],
        status=text["status"],
        file_name=text.get("file_name", ""),
        conditions=conditions,
    )


def _fits(condition: tuple, header: dict) -> bool:
    return all(any(_value_fits(header.get(k, ""), want, k) for k in key.split("|")) for key, want in condition)


def _value_fits(value: object, want: object, key: str) -> bool:
    """One header value against one wanted value; numbers also fit when the header writes them as text."""
    if want is None:
        return str(value).strip() == ""
    if isinstance(want, int | float):
        try:
            return math.isclose(float(value), want, rel_tol=1e-4)
        except (TypeError, ValueError):
            return False
    if key == "FILE":
        return re.search(want, str(value), re.I) is not None
    return re.fullmatch(want, str(value).strip(), re.I) is not None
