"""What online sources offer: channels by name, the moments asked for, and one line for each that fails.

Reads and writes nothing itself. `CHANNELS` says what Helioviewer, JSOC and SolarMonitor call each channel.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from jwvl_lib import observations
from jwvl_lib.fetching import Fetched, FetchError

NEAREST_H = 12.0  # an image further from the time asked for is another one


@dataclass(frozen=True)
class Channel:
    """What each source calls one channel; "" where it has none. `jsoc` is a series, its filter and its segment."""

    name: str
    helioviewer: int | None = None
    jsoc: tuple[str, str, str] | None = None
    solarmonitor: tuple[str, str] | None = None


def _aia(angstrom: int, source_id: int) -> Channel:
    series = "aia.lev1_uv_24s" if angstrom in (1600, 1700) else "aia.lev1_vis_1h" if angstrom == 4500 else ""
    jsoc = (series or "aia.lev1_euv_12s", f"[{angstrom}]", "image")
    return Channel(f"AIA {angstrom}", source_id, jsoc, ("saia", f"saia_{angstrom:05d}_fd"))


# source ids: Helioviewer API v2, appendix "data sources"; folders of SolarMonitor as sunpy's Scraper documents them
CHANNELS = (
    *(_aia(a, 8 + i) for i, a in enumerate((94, 131, 171, 193, 211, 304, 335, 1600, 1700, 4500))),
    Channel("HMI continuum", 18, ("hmi.Ic_720s", "", "continuum"), ("shmi", "shmi_igram_fd")),
    Channel("HMI magnetogram", 19, ("hmi.M_720s", "", "magnetogram"), ("shmi", "shmi_maglc_fd")),
    *(Channel(f"EIT {a}", i, None, ("seit", f"seit_{a:05d}_fd")) for i, a in enumerate((171, 195, 284, 304))),
    Channel("MDI magnetogram", 6, ("mdi.fd_M_96m_lev182", "", "data"), ("smdi", "smdi_maglc_fd")),
    Channel("MDI continuum", 7, ("mdi.fd_Ic", "", "data"), ("smdi", "smdi_igram_fd")),
    Channel("XRS", None, None, None),
)
NAMES = tuple(channel.name for channel in CHANNELS)


def times(tstart: str, tend: str, cadence_hours: float, most: int) -> list[datetime]:
    """Times from the start of `tstart` to the end of `tend`, every `cadence_hours`, the first `most` of them."""
    first, last = datetime.fromisoformat(tstart), datetime.fromisoformat(tend) + timedelta(days=1)
    if cadence_hours <= 0:
        raise ValueError(f"cadence_hours={cadence_hours}: hours between images, above 0")
    n = max(0, math.ceil((last - first).total_seconds() / 3600 / cadence_hours - 1e-9))
    return [first + timedelta(hours=cadence_hours * i) for i in range(min(n, most))]


def channel(name: str) -> Channel:
    """The channel of that name ("AIA 193", "HMI magnetogram"); ValueError for any other."""
    found = next((c for c in CHANNELS if c.name.lower() == name.strip().lower()), None)
    if found is None:
        raise ValueError(f"channels: {name.strip()!r} is not known; one of {', '.join(NAMES)}")
    return found


def one_by_one(items: Iterable, fetch: Callable, label: Callable, url: str = "") -> list[Fetched]:
    """`fetch(item)` of each; a failure is one line, and after a host that did not answer the rest is not asked for."""
    items, found = list(items), []
    for i, item in enumerate(items):
        try:
            found.append(fetch(item))
        except (OSError, ValueError) as error:
            words, left = " ".join(str(error).split())[:300], len(items) - i - 1
            if "did not answer" not in words:
                found.append(Fetched(label(item), url, error=words))
                continue
            more = f"; {left} more not asked for" if left else ""
            return [*found, Fetched(label(item), url, error=words + more)]
    return found


def name(what: Channel, moment: datetime, suffix: str) -> str:
    """ "aia_193_20140101_000006.fits": what a picture without a header is recognised by."""
    return f"{re.sub(r'[^a-z0-9]+', '_', what.name.lower())}_{moment:%Y%m%d_%H%M%S}{suffix}"


def check_file(path: Path) -> object:
    """Open a staged file as what its name says: an image with a date, or an X-ray curve. Raises ValueError."""
    if path.name.startswith("xrs") or path.suffix == ".nc":
        return observations.open_xrs(path)
    return observations.open_observation(path)


def label(item: tuple[Channel, datetime]) -> str:
    """ "AIA 193 2014-01-01T00:00:00"."""
    return f"{item[0].name} {item[1]:%Y-%m-%dT%H:%M:%S}"


def near(what: Channel, moment: datetime, taken: datetime) -> datetime:
    """`taken`, or FetchError where it is further from `moment` than `NEAREST_H`."""
    hours = abs((taken - moment).total_seconds()) / 3600
    if hours > NEAREST_H:
        raise FetchError(
            f"{what.name}: the image nearest to {moment} is {hours:.0f} h away ({taken}); above {NEAREST_H:g} h"
        )
    return taken
