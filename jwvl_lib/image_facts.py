"""Facts of one image: what its header, its picture and the day's Solar Region Summary say, each with its source.

Reads nothing itself and writes nothing; the corpus hands it an opened observation and the bytes of an SRS. Regions are
rotated from 2400 UT, for which the SRS gives their places, to the time of the image; what is behind the limb is left
out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from jwvl_lib import swpc
from jwvl_lib.facts import Fact
from jwvl_lib.geometry import DiskGeometry, PatchGeometry, heliographic_to_pixel
from jwvl_lib.heliographic import rotation_deg, unit_vectors
from jwvl_lib.observations import UNKNOWN, Observation
from jwvl_lib.render import Rendered

CLEAR_OF_AXES_DEG = 5.0  # nearer to meridian or equator a quadrant is a matter of opinion: no fact
CLEAR_OF_AXES_RSUN = 0.05
BOX_MARGIN_DEG, MIN_BOX_DEG, MIN_BOX_PX = 3.0, 4.0, 6.0  # SRS places are rounded, and spots lead their field
LARGEST_OBSERVER_LONGITUDE_DEG = 5.0  # SRS places are seen from the Earth
IDENTIFYING_CARDS = ("TELESCOP", "INSTRUME", "DETECTOR", "WAVELNTH", "CONTENT", "IMTYPE", "ORIGIN")


@dataclass(frozen=True)
class RegionSeen:
    """A region of SRS section I at the time of an image: degrees then, and the vector in solar radii."""

    record: dict
    lat_deg: float
    lon_deg: float
    vector: np.ndarray


def header_facts(obs: Observation, source: str) -> list[Fact]:
    """Instrument, channel, layer and date of an image; nothing about what the instrument table does not know."""
    origin = "header" if obs.header else "filename"
    cards = [f"{key}={obs.header[key]}" for key in IDENTIFYING_CARDS if obs.header.get(key) not in (None, "")]
    text = ", ".join(cards) or obs.path.name
    values = {
        "observatory": obs.observatory,
        "instrument": obs.instrument,
        "measurement": obs.measurement,
        "wavelength_angstrom": obs.wavelength_angstrom,
        "layer": obs.layer,
    }
    known = {k: v for k, v in values.items() if v != UNKNOWN and v == v}  # NaN is not equal to itself
    facts = [Fact(kind, value, origin=origin, source=source, text=text) for kind, value in known.items()]
    return [*facts, Fact("date_obs", obs.date_obs, origin=origin, source=source, text=_date_text(obs))]


def _date_text(obs: Observation) -> str:
    key = next((k for k in ("DATE-OBS", "DATE_OBS", "T_OBS") if obs.header.get(k)), None)
    return f"{key}={obs.header[key]}" if key else obs.path.name


def seen_from_earth(header: Mapping) -> bool:
    """Whether the SRS, which is seen from the Earth, may be laid over an image with this header (NaN says nothing)."""
    longitude = header.get("HGLN_OBS", 0.0)
    return not isinstance(longitude, int | float) or not abs(longitude) >= LARGEST_OBSERVER_LONGITUDE_DEG


def regions_seen(records: Sequence[Mapping], date_obs: str, b0_deg: float) -> list[RegionSeen]:
    """Spotted regions on the near side at the time of the image, largest area first.

    `records` are those of `swpc.parse_srs`. A region printed without longitude has no place and is left out.
    """
    seen = []
    for record in records:
        if record["section"] != "I" or record["lon_deg"] is None:
            continue
        hours = (datetime.fromisoformat(date_obs) - record["valid"]).total_seconds() / 3600
        lon = record["lon_deg"] + rotation_deg(record["lat_deg"], hours)
        vector = unit_vectors(record["lat_deg"], lon, b0_deg)
        if vector[2] > 0:
            seen.append(RegionSeen(dict(record), float(record["lat_deg"]), lon, vector))
    return sorted(seen, key=lambda r: (-(r.record["area_msh"] or 0), r.record["noaa_ar"]))


def regions_in_field(
    seen: Sequence[RegionSeen], geometry: DiskGeometry | PatchGeometry, shape: tuple[int, int]
) -> list[RegionSeen]:
    """Those whose place lies in a cutout of that shape (rows, columns)."""
    if not seen:
        return []
    pixels, near = heliographic_to_pixel(geometry, [r.lat_deg for r in seen], [r.lon_deg for r in seen])
    inside = near & (pixels >= 0).all(axis=-1) & (pixels < np.array(shape[::-1])).all(axis=-1)
    return [region for region, is_in in zip(seen, inside, strict=True) if is_in]


def srs_facts(raw: bytes, seen: Sequence[RegionSeen], source: str, whole_disk: bool = True) -> list[Fact]:
    """Number of regions on the disk (0 is said too) and the facts of each, with the line of the SRS they stand in.

    A cutout (not `whole_disk`) shows neither how many regions there are nor in which quadrant one lies.
    """
    lines = swpc.text_lines(raw)
    head = next(i for i, line in enumerate(lines, start=1) if line.upper().startswith(("I.", "1.")))
    facts = []
    if whole_disk:
        facts.append(Fact("n_regions", len(seen), origin="srs", source=source, line=head, text=lines[head - 1]))
    for region in seen:
        evidence = {"origin": "srs", "source": source, "line": region.record["line"], "text": region.record["text"]}
        number = region.record["noaa_ar"]
        facts.append(Fact("noaa_ar", number, number, **evidence))
        for kind in ("location", "area_msh", "mcintosh_class", "hale_class", "n_spots"):
            if region.record[kind] is not None:
                facts.append(Fact(kind, region.record[kind], number, **evidence))
        if whole_disk and (quadrant := quadrant_of(region)):
            facts.append(Fact("quadrant", quadrant, number, **evidence))
    return facts


def quadrant_of(region: RegionSeen) -> str:
    """NE, NW, SE or SW of the disk centre; "" near the meridian or the equator, where it could be argued about."""
    west, north, _ = region.vector
    near_axis = min(abs(region.lat_deg), abs(region.lon_deg)) < CLEAR_OF_AXES_DEG
    if near_axis or min(abs(west), abs(north)) < CLEAR_OF_AXES_RSUN or north * region.lat_deg < 0:
        return ""
    return ("N" if north > 0 else "S") + ("W" if west > 0 else "E")


def polarity_facts(header: Mapping, seen: Sequence[RegionSeen], source: str) -> list[Fact]:
    """Leading polarity of the regions on the disk, where the simulator wrote it into the header (cards LPnnnnn)."""
    cards = [(r.record["noaa_ar"], header.get(f"LP{r.record['noaa_ar']}")) for r in seen]
    return [
        Fact("leading_polarity", value, number, origin="simulator", source=source, text=f"LP{number}={value}")
        for number, value in cards
        if value in ("positive", "negative")
    ]


def activity_facts(header: Mapping, source: str) -> list[Fact]:
    """What a simulated frame was drawn to show, where the simulator wrote it into the header (card ACTIVITY)."""
    value = header.get("ACTIVITY") if header.get("SIMULATED") else None
    return [Fact("activity", value, origin="simulator", source=source, text=f"ACTIVITY={value}")] if value else []


def region_box(region: RegionSeen, geometry: DiskGeometry | PatchGeometry, picture: Rendered) -> list[float]:
    """[x0, y0, x1, y1] of a region in pixels of the picture, y down, at least MIN_BOX_PX wide and high.

    A field of longitude and latitude laid over the sphere and projected: half the SRS extent plus 3 degrees in
    longitude, but never less than a disk of twice the area; in latitude two thirds of that, since groups lie along
    the parallels.
    """
    from_area = np.degrees(np.sqrt(4e-6 * (region.record["area_msh"] or 0))) + BOX_MARGIN_DEG
    half_lon = max((region.record["extent_deg"] or 0) / 2 + BOX_MARGIN_DEG, from_area, MIN_BOX_DEG)
    half_lat = max(half_lon * 2 / 3, from_area, MIN_BOX_DEG)
    steps = np.linspace(-1, 1, 9)
    lat, lon = np.meshgrid(np.clip(region.lat_deg + half_lat * steps, -90, 90), region.lon_deg + half_lon * steps)
    pixels, near = heliographic_to_pixel(geometry, lat, lon)
    points = picture.to_png(pixels[near])
    low, high = points.min(axis=0), points.max(axis=0)
    spare = np.clip(MIN_BOX_PX - (high - low), 0, None) / 2
    limits = np.array(picture.image.size) - 1
    low, high = np.clip(low - spare, 0, limits), np.clip(high + spare, 0, limits)
    return [round(float(v), 1) for v in (*low, *high)]
