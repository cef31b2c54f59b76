"""Images from the archives that need a search first: Fido (VSO, NOAA, NSO) and JSOC's exports.

`sunpy.net.Fido` and `drms` search and say where the files are; `fetching` fetches them into the folder it is told.
Both return one `Fetched` an item, in a fixed order; what fails is its one line.
"""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from jwvl_lib import fetching, online_channels
from jwvl_lib.fetching import Fetched, FetchError
from jwvl_lib.online_channels import Channel

JSOC_WAIT_S = 900
FIDO_HOSTS = frozenset(
    "sdac.virtualsolar.org vso.nascom.nasa.gov vso.tuc.noao.edu netdrms01.nispdc.nso.edu netdrms02.nispdc.nso.edu "
    "jsoc.stanford.edu jsoc1.stanford.edu sohowww.nascom.nasa.gov soho.nascom.nasa.gov seal.nascom.nasa.gov "
    "umbra.nascom.nasa.gov hesperia.gsfc.nasa.gov www.ncei.noaa.gov data.ngdc.noaa.gov gong2.nso.edu".split()
)
JSOC_HOSTS = frozenset({"jsoc.stanford.edu", "jsoc1.stanford.edu"})


# --------------------------------------------------------------------------------------------------------------------
# JSOC: exports, which a registered address asks for


def jsoc(
    folder: str | Path,
    channels: Sequence[Channel],
    moments: Sequence[datetime],
    email: str,
    cadence_hours: float,
    hosts: Collection[str] = JSOC_HOSTS,
    server: object = "jsoc",
) -> list[Fetched]:
    """FITS files of a JSOC export, one request a channel, through `drms`.

    `email` must be registered with JSOC (http://jsoc.stanford.edu/ajax/register_email.html). Waits for the export.
    """
    if not email:
        return [Fetched("jsoc", "", error="jsoc_email is empty; JSOC exports only to a registered address")]
    asked = [(c, moments[0]) for c in channels] if moments else []
    exported, found = {}, []

    def export(item: tuple[Channel, datetime]) -> Fetched:
        exported[item[0]] = _export(item[0], moments, email, cadence_hours, server)
        return Fetched(item[0].name, "")

    found += [f for f in online_channels.one_by_one(asked, export, lambda item: item[0].name, "jsoc") if f.error]
    files = [(what, url) for what, urls in exported.items() for url in urls]

    def one(item: tuple[Channel, str]) -> Fetched:
        what, url = item
        name = f"{re.sub(r'[^a-z0-9]+', '_', what.name.lower())}_{urlsplit(url).path.split('/')[-1]}"
        return fetching.fetch_file(secure(url), folder, name, hosts, online_channels.check_file)

    return found + online_channels.one_by_one(files, one, lambda item: item[1], "jsoc")


def _export(what: Channel, moments: Sequence[datetime], email: str, cadence_hours: float, server: object) -> list[str]:
    """Addresses of the files of an export."""
    import drms  # only who asks JSOC waits for it

    if what.jsoc is None:
        raise FetchError(f"{what.name} is not offered by JSOC")
    series, only, segment = what.jsoc
    span = f"{cadence_hours * len(moments):g}h@{cadence_hours:g}h"
    query = f"{series}[{moments[0]:%Y.%m.%d_%H:%M:%S}_UTC/{span}]{only}{{{segment}}}"
    try:
        request = drms.Client(server, email=email).export(query, method="url", protocol="fits", filenamefmt=False)
        if not request.wait(timeout=JSOC_WAIT_S):
            raise FetchError(f"JSOC had not finished {query} after {JSOC_WAIT_S} s; run again later")
        return sorted(request.urls["url"])
    except FetchError:
        raise
    except drms.DrmsExportError as error:
        raise FetchError(f"JSOC refuses {query}: {error}") from None
    except OSError as error:
        raise FetchError(f"JSOC did not answer ({error})") from None
    except Exception as error:  # drms passes on whatever the answer's shape makes of it
        raise FetchError(f"JSOC answers {query} with something else ({type(error).__name__}: {error})") from None


# --------------------------------------------------------------------------------------------------------------------
# Fido: the archives that sunpy knows


def fido(
    folder: str | Path,
    channels: Sequence[Channel],
    moments: Sequence[datetime],
    hosts: Collection[str] = FIDO_HOSTS,
    search: Callable | None = None,
) -> list[Fetched]:
    """The file nearest to each moment in each channel that `sunpy.net.Fido` finds (AIA, HMI, MDI, EIT, XRS).

    Fido searches and says where the files are; they are fetched by `fetching`. `search` stands in for `Fido.search`.
    """

    def one(item: tuple[Channel, datetime]) -> Fetched:
        what, moment = item
        url, taken = _fido_find(what, moment, search)
        suffix = ".nc" if url.endswith(".nc") else ".fits"
        return fetching.fetch_file(
            secure(url), folder, online_channels.name(what, taken, suffix), hosts, online_channels.check_file
        )

    days = sorted({moment.replace(hour=0, minute=0, second=0) for moment in moments})
    wanted = [(c, t) for c in channels for t in (days if c.name == "XRS" else moments)]
    return online_channels.one_by_one(wanted, one, online_channels.label, "fido")


def fido_query(what: Channel, moment: datetime) -> list:
    """Attributes of a search for the image nearest to a moment, or the X-ray curve of its day (one-minute means)."""
    from astropy import units as u
    from sunpy.net import attrs as a

    instrument, _, rest = what.name.partition(" ")
    if instrument == "XRS":
        return [a.Time(moment, moment + timedelta(hours=23)), a.Instrument.xrs]
    near = a.Time(moment - timedelta(hours=1), moment + timedelta(hours=3), near=moment)
    query = [near, a.Instrument(instrument)]
    if rest.isdigit():
        return [*query, a.Wavelength(int(rest) * u.AA), *([] if instrument == "EIT" else [a.Physobs.intensity])]
    return [*query, a.Physobs.los_magnetic_field if rest == "magnetogram" else a.Physobs.intensity]


def _fido_find(what: Channel, moment: datetime, search: Callable | None) -> tuple[str, datetime]:
    """Address and start of the file nearest to a moment."""
    from sunpy.net import Fido

    try:
        found = (search or Fido.search)(*fido_query(what, moment))
        rows = [(row["Start Time"].to_datetime(), table[i : i + 1]) for table in found for i, row in enumerate(table)]
        rows.sort(key=lambda pair: "avg1m" not in str(pair[1]))  # one-minute means before the seconds
    except Exception as error:  # each of Fido's clients has its own
        raise FetchError(f"Fido did not answer for {what.name} ({type(error).__name__}: {error})") from None
    if getattr(found, "errors", None) and not rows:
        raise FetchError(f"Fido did not answer for {what.name} ({found.errors[0]})")
    if not rows:
        raise FetchError(f"Fido finds no {what.name} near {moment}")
    taken, row = min(rows, key=lambda pair: abs(pair[0] - moment))
    addresses = _addresses(row)
    if not addresses:
        raise FetchError(f"Fido gives no address for {what.name} of {taken}")
    return addresses[0], moment if what.name == "XRS" else online_channels.near(what, moment, taken)


def _addresses(row: object) -> list[str]:
    """Where Fido would fetch a row of its answer from."""
    import parfive
    from sunpy.net import Fido

    class Notebook(parfive.Downloader):
        """Fido's downloader that fetches nothing and notes what it is told to."""

        def enqueue_file(self, url, path=None, filename=None, **options):
            noted.append(str(url))

        def download(self, *args, **options):
            return parfive.Results()

    noted: list[str] = []
    try:
        Fido.fetch(row, path="{file}", downloader=Notebook(progress=False))
    except Exception as error:
        raise FetchError(f"Fido did not answer ({type(error).__name__}: {error})") from None
    return noted


def secure(url: str) -> str:
    """The same address over https: archives still write http into their catalogues."""
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in fetching.LOOPBACK:
        return parts._replace(scheme="https", netloc=parts.netloc.removesuffix(":80")).geturl()
    return url
