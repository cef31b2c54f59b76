"""Facts: checkable statements about an image or a day, each with its source.

A fact comes from a parser (FITS header, SWPC text), from a named measurement on the pixels or from the simulator's
own truth, never from a language model. Reads and writes nothing; `to_json` and `from_json` are the form in which
facts stand in the `facts` column of `corpus.parquet`.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

# kind: what the value is, and its unit. The names are SWPC's, sunpy's or the FITS standard's.
FACT_KINDS = {
    # about an image
    "observatory": "name, such as SDO",
    "instrument": "name, such as AIA",
    "measurement": "magnetogram, continuum, H-alpha or the channel in angstrom, such as 171",
    "wavelength_angstrom": "float, angstrom",
    "layer": "of the solar atmosphere, such as corona (section `layer` of data/knowledge.yaml)",
    "date_obs": "UTC, ISO 8601 to the second",
    "banner_text": "the text burnt into the picture, lines joined by a newline",
    "activity": "what a simulated frame was drawn to show (section `activity` of data/knowledge.yaml)",
    "n_regions": "number of numbered regions with spots (SRS part I); 0 is an explicit absence",
    # about one region (noaa_ar is set)
    "noaa_ar": "true NOAA number, such as 12192",
    "location": "heliographic, such as S14W06",
    "area_msh": "millionths of the solar hemisphere",
    "mcintosh_class": "three letters, such as Fkc",
    "hale_class": "Mount Wilson class, such as Beta-Gamma-Delta",
    "n_spots": "number of spots",
    "leading_polarity": "positive or negative, of the westward part",
    "quadrant": "NE, NW, SE or SW of the disk centre",
    # measured on the pixels (origin measured:<method>): what a detector finds, not what observers numbered
    "n_sunspots": "number of dark or strong-field features found",
    "sunspot_area_msh": "millionths of the solar hemisphere, all together",
    "n_coronal_holes": "number of coronal holes found; 0 is an explicit absence",
    "coronal_hole_area_msh": "millionths of the solar hemisphere, all together",
    "n_filaments": "number of filaments found on the disk",
    "filament_area_msh": "millionths of the solar hemisphere, all together",
    "n_plages": "number of plage areas found",
    "plage_area_msh": "millionths of the solar hemisphere, all together",
    # measured on an X-ray light curve
    "time_end": "UTC, ISO 8601 to the second; the curve begins at date_obs",
    "peak_goes_class": "class of the highest one-minute mean of the 1-8 angstrom flux as the file has it, such as M2.5",
    "peak_time": "UTC, ISO 8601 to the minute",
    # about a day
    "flare": "goes_class@peak, such as X3.1@2014-10-24T21:41; noaa_ar where known",
}


@dataclass(frozen=True)
class Fact:
    """One checkable statement.

    `origin` says who vouches for it: `header`, `filename`, `srs`, `events`, `simulator`, `render` or
    `measured:<method>`. `source`, `line` and `text` lead to the evidence: the file, its 1-based line (0 where a file
    has no lines, as FITS) and that line or header card.
    """

    kind: str
    value: str | int | float
    noaa_ar: int | None = None
    origin: str = "header"
    source: str = ""
    line: int = 0
    text: str = ""

    def __post_init__(self):
        if self.kind not in FACT_KINDS:
            raise ValueError(f"fact kind {self.kind!r} is not known; one of {', '.join(FACT_KINDS)}")

    @property
    def fact_id(self) -> str:
        """Content-derived: the same statement from the same source has the same id on every machine."""
        key = json.dumps([self.kind, self.value, self.noaa_ar, self.origin, self.source, self.line])
        return "f" + hashlib.sha256(key.encode()).hexdigest()[:12]


def to_json(facts: Iterable[Fact]) -> str:
    """JSON list of objects, the fields of `Fact` and its `fact_id`, in the order given."""
    return json.dumps([{"fact_id": f.fact_id, **asdict(f)} for f in facts], ensure_ascii=False)


def from_json(text: str) -> list[Fact]:
    """Inverse of `to_json`."""
    return [Fact(**{k: v for k, v in row.items() if k != "fact_id"}) for row in json.loads(text)]


def find(facts: Iterable[Fact], kind: str, noaa_ar: int | None = None) -> Fact | None:
    """The first fact of a kind (about one region where `noaa_ar` is given), or None."""
    return next((f for f in facts if f.kind == kind and (noaa_ar is None or f.noaa_ar == noaa_ar)), None)
