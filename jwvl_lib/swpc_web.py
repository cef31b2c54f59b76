"""Fetches the products of today into an archive folder: allow-listed hosts, staged, checked, hashed.

Reads the addresses of `ADDRESSES` and nothing that a fetched text or a model names; writes files named as
`report_sources` reads them, and `fetched.json` (file -> url, sha256, bytes, UTC). A file appears under its name only
when it is whole and is what its name promises; an older one is kept where the new one fails.
"""

import hashlib
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from jwvl_lib import artifacts, fetching, report_sources, swpc, swpc_products
from jwvl_lib.fetching import Fetched, FetchError, origins

__all__ = ["ADDRESSES", "HOSTS", "Fetched", "FetchError", "acquire", "answer", "fetch", "file_name", "origins"]

SERVICES = "https://services.swpc.noaa.gov"
SDO = "https://sdo.gsfc.nasa.gov/assets/img/latest"
HOSTS = frozenset({"services.swpc.noaa.gov", "solarmonitor.org", "www.solarmonitor.org", "sdo.gsfc.nasa.gov"})
ADDRESSES = {
    "SRS": f"{SERVICES}/text/srs.txt",
    "events": f"{SERVICES}/text/solar-geophysical-event-reports.txt",
    "SGAS": f"{SERVICES}/text/sgas.txt",
    "discussion": f"{SERVICES}/text/discussion.txt",
    "solar_regions": f"{SERVICES}/json/solar_regions.json",
    "xray_flares": f"{SERVICES}/json/goes/primary/xray-flares-7-day.json",
    "xray_flux": f"{SERVICES}/json/goes/primary/xrays-3-day.json",
    "f107_flux": f"{SERVICES}/json/f107_cm_flux.json",
    "planetary_kp": f"{SERVICES}/products/noaa-planetary-k-index.json",
    "solarmonitor": "https://solarmonitor.org/index.php?date={day:%Y%m%d}",
    "hmi_magnetogram.jpg": f"{SDO}/latest_1024_HMIB.jpg",
    "hmi_continuum.jpg": f"{SDO}/latest_1024_HMIIC.jpg",
    "aia_193.jpg": f"{SDO}/latest_1024_0193.jpg",
}


def acquire(
    report_date: str, folder: str | Path, addresses: dict[str, str] | None = None, hosts: frozenset[str] = HOSTS
) -> list[Fetched]:
    """Fetch every product into `folder`; one entry an address, in their order. Nothing is raised for a failed one.

    Texts are filed under the date they state themselves, services and pictures under `report_date`. A host that
    could not be reached is not asked again in this call.
    """
    day, folder = report_sources.parse_date(report_date), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found, down = [], set()
    for product, address in (ADDRESSES if addresses is None else addresses).items():
        url = address.format(day=day)
        host = urlsplit(url).hostname or ""
        try:
            if host in down:
                raise FetchError(f"{host} did not answer before")
            raw, published = answer(url, hosts)
            name = file_name(product, raw, day, published)
            (folder / name).parent.mkdir(exist_ok=True)
            artifacts.write_bytes(folder / name, raw)
            digest, now = hashlib.sha256(raw).hexdigest(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            found.append(Fetched(Path(name).name, url, digest, len(raw), now))
        except (OSError, ValueError) as error:
            if isinstance(error, FetchError) and "did not answer" in str(error):
                down.add(host)
            found.append(Fetched(product, url, error=" ".join(str(error).split())[:200]))
    fetching.note(folder, found)
    return found


def fetch(url: str, hosts: frozenset[str] = HOSTS) -> bytes:
    """The bytes of `answer`."""
    return answer(url, hosts)[0]


def answer(url: str, hosts: frozenset[str] = HOSTS) -> tuple[bytes, datetime | None]:
    """The bytes of an address of an allowed host, asked once (see `fetching`), and when the server says they were
    published (`Last-Modified`, UTC; None where it does not). FetchError, also above `swpc_products.MAX_BYTES`."""
    raw, headers = fetching.fetch_bytes(url, hosts, swpc_products.MAX_BYTES, attempts=1)
    return raw, _http_date(headers.get("Last-Modified", ""))


def _http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (TypeError, ValueError):
        return None


def file_name(product: str, raw: bytes, day: date, published: datetime | None = None) -> str:
    """Where a product belongs in the archive folder; ValueError where the bytes are not that product.

    A picture "of now" is named by when it was published, some 20 minutes after it was taken (a third of a degree of
    solar rotation); without that time it keeps its bare name, and no region is marked in it.
    """
    if product == "SRS":
        swpc.parse_srs(raw, product)
        return f"{swpc.srs_times(raw, product)[0]:%Y%m%d}SRS.txt"
    if product == "events":
        swpc.parse_events(raw, product)
        return f"{swpc.events_date(raw, product):%Y%m%d}events.txt"
    if product in ("SGAS", "discussion"):
        (swpc_products.parse_sgas if product == "SGAS" else swpc_products.parse_discussion)(raw, product)
        return f"{swpc_products.issue_time(swpc.text_lines(raw), product):%Y%m%d}{product}.txt"
    if product in report_sources.JSON_PRODUCTS:
        swpc_products.relined(raw, product)
        return f"{product}_{day:%Y%m%d}.json"
    if product == "solarmonitor":
        return f"{product}_{day:%Y%m%d}.html"
    if report_sources.image_type(raw) not in ("png", "jpeg", "gif"):
        raise swpc.SwpcFormatError(f"{product}: no PNG, JPEG or GIF; fetch it again")
    stamp = f"{published:%Y%m%d_%H%M%S}_" if published else ""
    return f"images_{day:%Y%m%d}/{stamp}{product}"
