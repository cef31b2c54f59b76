"""Images and summaries from the network: one function a source, all through `fetching`, none at import.

Asks Helioviewer, SolarMonitor's pages and NOAA's archive of Solar Region Summaries, and, by `online_archives`, Fido and
JSOC; writes the files of each into its own folder, with a ledger. A file has its name from what was asked for and when
it was taken. Every function returns one `Fetched` an item, in a fixed order; what fails is its one line, and a host
that does not answer is not asked for the rest.
"""

import json
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from jwvl_lib import fetching, online_archives, online_channels, swpc
from jwvl_lib.fetching import Fetched, FetchError
from jwvl_lib.online_channels import Channel

LOGGER = logging.getLogger(__name__)
SOURCES = ("fido", "helioviewer", "jsoc", "solarmonitor", "swpc")
PAGE_BYTES = 8_000_000
HELIOVIEWER = "https://api.helioviewer.org/v2"
SOLARMONITOR = "https://solarmonitor.org"
SUMMARIES = "https://www.ngdc.noaa.gov/stp/space-weather/swpc-products/daily_reports/solar_region_summaries"
LATEST_SUMMARY = "https://services.swpc.noaa.gov/text/srs.txt"
HELIOVIEWER_HOSTS = frozenset({"api.helioviewer.org"})
SOLARMONITOR_HOSTS = frozenset({"solarmonitor.org", "www.solarmonitor.org"})
SWPC_HOSTS = frozenset({"www.ngdc.noaa.gov", "www.ncei.noaa.gov", "services.swpc.noaa.gov"})


# --------------------------------------------------------------------------------------------------------------------
# Helioviewer: JPEG2000 with the FITS header in it


def helioviewer(
    folder: str | Path,
    channels: Sequence[Channel],
    moments: Sequence[datetime],
    hosts: Collection[str] = HELIOVIEWER_HOSTS,
    base: str = HELIOVIEWER,
) -> list[Fetched]:
    """The JPEG2000 nearest to each moment in each channel (API v2: getClosestImage, getJP2Image)."""

    def one(item: tuple[Channel, datetime]) -> Fetched:
        what, moment = item
        if what.helioviewer is None:
            raise FetchError(f"{what.name} is not offered by Helioviewer")
        asked = urlencode({"date": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "sourceId": what.helioviewer})
        raw, _ = fetching.fetch_bytes(f"{base}/getClosestImage/?{asked}", hosts, PAGE_BYTES)
        number, taken = _closest(raw, what, moment)
        url = f"{base}/getJP2Image/?{urlencode({'id': number})}"
        return fetching.fetch_file(
            url, folder, online_channels.name(what, taken, ".jp2"), hosts, online_channels.check_file
        )

    return online_channels.one_by_one([(c, t) for c in channels for t in moments], one, online_channels.label, base)


def _closest(raw: bytes, what: Channel, moment: datetime) -> tuple[int, datetime]:
    """Number and time in an answer of getClosestImage, whose shape is checked; FetchError where it is too far."""
    try:
        answer = json.loads(raw)
        number, taken = int(answer["id"]), datetime.fromisoformat(answer["date"])
    except (ValueError, KeyError, TypeError):
        raise FetchError(f"Helioviewer answers {raw[:80]!r} for {what.name}; it should be an id and a date") from None
    return number, online_channels.near(what, moment, taken)


# --------------------------------------------------------------------------------------------------------------------
# SolarMonitor: its folders of FITS files are pages with links


def solarmonitor(
    folder: str | Path,
    channels: Sequence[Channel],
    moments: Sequence[datetime],
    hosts: Collection[str] = SOLARMONITOR_HOSTS,
    base: str = SOLARMONITOR,
) -> list[Fetched]:
    """The full-disk FITS nearest to each moment among the links of the day's page."""

    def one(item: tuple[Channel, datetime]) -> Fetched:
        what, moment = item
        if what.solarmonitor is None:
            raise FetchError(f"{what.name} is not offered by SolarMonitor")
        shelf, stem = what.solarmonitor
        page = f"{base}/data/{moment:%Y/%m/%d}/fits/{shelf}/"
        raw, _ = fetching.fetch_bytes(page, hosts, PAGE_BYTES)
        found = re.findall(rf'href="(?:[^"]*/)?({stem}_(\d{{8}}_\d{{6}})\.fts(?:\.gz)?)"', raw.decode("latin-1"))
        if not found:
            raise FetchError(f"{page} has no link to {stem}_*.fts.gz")
        dated = [(datetime.strptime(clock, "%Y%m%d_%H%M%S"), name) for name, clock in found]
        taken, name = min(dated, key=lambda pair: (abs(pair[0] - moment), pair[1]))
        target = online_channels.name(what, online_channels.near(what, moment, taken), name[name.index(".") :])
        return fetching.fetch_file(page + name, folder, target, hosts, online_channels.check_file)

    return online_channels.one_by_one([(c, t) for c in channels for t in moments], one, online_channels.label, base)


# --------------------------------------------------------------------------------------------------------------------
# NOAA: the summaries of the days


def summaries(
    folder: str | Path,
    days: Sequence[datetime],
    hosts: Collection[str] = SWPC_HOSTS,
    base: str = SUMMARIES,
    latest: str = LATEST_SUMMARY,
) -> list[Fetched]:
    """The Solar Region Summary of each day, issued on the following one, as YYYYMMDDSRS.txt.

    From NOAA's archive; of the last two days from SWPC itself.
    """

    def one(day: datetime) -> Fetched:
        issued = day + timedelta(days=1)
        recent = datetime.now(UTC).replace(tzinfo=None) - issued < timedelta(days=2)
        name = f"{issued:%Y%m%d}SRS.txt"
        url = latest if recent else f"{base}/{issued:%Y/%m}/{name}"
        return fetching.fetch_file(url, folder, name, hosts, partial(_check_summary, issued=issued))

    return online_channels.one_by_one(days, one, lambda day: f"summary of {day:%Y-%m-%d}", base)


def _check_summary(path: Path, issued: datetime) -> None:
    raw = path.read_bytes()
    swpc.parse_srs(raw, path.name)
    stated = swpc.srs_times(raw, path.name)[0]
    if stated.date() != issued.date():
        raise ValueError(f"a summary issued {stated:%Y-%m-%d}, not {issued:%Y-%m-%d}")


# --------------------------------------------------------------------------------------------------------------------
# all that a corpus asks for


def acquire(
    folder: str | Path,
    wanted: Collection[str],
    channels: str,
    tstart: str,
    tend: str,
    cadence_hours: float = 24.0,
    most: int = 50,
    jsoc_email: str = "",
) -> list[Fetched]:
    """Fetch from the `wanted` sources into `folder/<source>/`; names are given relative to `folder`.

    `channels` names them, separated by commas; at most `most` images a source. ValueError for an unknown channel.
    """
    folder = Path(folder)
    asked = [online_channels.channel(name) for name in channels.split(",") if name.strip()]
    moments = online_channels.times(tstart, tend, cadence_hours, max(1, most // max(1, len(asked))))
    days = sorted({moment.replace(hour=0, minute=0, second=0) for moment in moments})
    run = {
        "fido": lambda to: online_archives.fido(to, asked, moments),
        "helioviewer": lambda to: helioviewer(to, asked, moments),
        "jsoc": lambda to: online_archives.jsoc(to, asked, moments, jsoc_email, cadence_hours),
        "solarmonitor": lambda to: solarmonitor(to, asked, moments),
        "swpc": lambda to: summaries(to, days),
    }
    found = []
    for source in SOURCES:
        if source in wanted:
            part = run[source](folder / source)
            LOGGER.info("%s: %d files, %d not fetched", source, sum(not f.error for f in part), sum(map(_failed, part)))
            found += [replace(f, name=f"{source}/{f.name}") for f in part]
    return found


def _failed(found: Fetched) -> bool:
    return bool(found.error)
