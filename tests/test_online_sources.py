"""Online sources on recorded shapes of their answers, served from this machine; nothing leaves it."""

import gzip
import io
import json
from datetime import datetime

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from test_fetching import HERE, _quick, httpserver_listen_address  # noqa: F401
from werkzeug import Request, Response

from jwvl_lib import observations, online_archives, online_channels, online_sources

NOON = datetime(2014, 4, 17, 12)
AIA, MAGNETOGRAM, EIT = map(online_channels.channel, ("AIA 193", "HMI magnetogram", "EIT 195"))
JP2 = observations.sunpy_data() / "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2"


@pytest.fixture
def base(httpserver) -> str:
    return f"http://127.0.0.1:{httpserver.port}"


def solar_fits(date: str = "2014-04-17T12:00:06") -> bytes:
    header = fits.Header({"TELESCOP": "SDO/AIA", "INSTRUME": "AIA_2", "WAVELNTH": 193, "DATE-OBS": date})
    stream = io.BytesIO()
    fits.writeto(stream, np.random.default_rng(0).normal(100, 9, (64, 64)).astype("f4"), header)
    return stream.getvalue()


# --------------------------------------------------------------------------------------------------------------------


def test_every_channel_has_a_row_in_the_instrument_table():
    from jwvl_lib import instruments

    known = {f"{row.instrument} {row.measurement}" for row in instruments.load_instruments()}
    assert set(online_channels.NAMES) - {"XRS"} <= known
    assert len(set(online_channels.NAMES)) == len(online_channels.NAMES)


def test_unknown_channels_and_cadences_are_one_clear_line():
    with pytest.raises(ValueError, match="'AIA 195' is not known; one of AIA 94"):
        online_channels.channel("AIA 195")
    with pytest.raises(ValueError, match="above 0"):
        online_channels.times("2014-01-01", "2014-01-02", 0, 5)


def test_times_cover_the_last_day_and_stop_at_the_most():
    got = online_channels.times("2014-01-01", "2014-01-02", 12, 99)
    assert [f"{t:%dT%H}" for t in got] == ["01T00", "01T12", "02T00", "02T12"]
    assert len(online_channels.times("2014-01-01", "2014-12-31", 1, 7)) == 7
    assert online_channels.times("2014-01-02", "2014-01-01", 1, 7) == []


def test_helioviewer_takes_the_nearest_image_and_refuses_a_far_one(httpserver, base, tmp_path):
    """Shapes of API v2: getClosestImage answers {"id": "…", "date": "Y-m-d H:M:S", …}, an error has "error"."""

    def closest(request: Request) -> Response:
        answers = {
            "2014-04-17T12:00:00Z": {"id": "36275490", "date": "2014-04-17 11:59:42", "name": "AIA 193", "scale": 0.6},
            "2014-04-18T12:00:00Z": {"id": "36275491", "date": "2014-05-01 00:00:00", "name": "AIA 193"},
            "2014-04-19T12:00:00Z": {"error": "No images"},
        }
        assert request.args["sourceId"] == "11"
        return Response(json.dumps(answers[request.args["date"]]))

    httpserver.expect_request("/getClosestImage/").respond_with_handler(closest)
    httpserver.expect_request("/getJP2Image/", query_string="id=36275490").respond_with_data(JP2.read_bytes())
    days = [NOON, NOON.replace(day=18), NOON.replace(day=19)]
    found = online_sources.helioviewer(tmp_path, [AIA], days, HERE, base)
    assert found[0].name == "aia_193_20140417_115942.jp2"
    assert observations.open_observation(tmp_path / found[0].name).measurement == "193"
    assert "300 h away" in found[1].error
    assert "should be an id and a date" in found[2].error


def test_solarmonitor_reads_the_links_of_the_page_of_the_day(httpserver, base, tmp_path):
    page = "".join(
        f'<a href="{name}">{name}</a> 2014-04-17 1.2M\n'
        for name in ("saia_00193_fd_20140417_030000.fts.gz", "saia_00193_fd_20140417_113200.fts.gz", "?C=N;O=D")
    )
    httpserver.expect_request("/data/2014/04/17/fits/saia/").respond_with_data(page, content_type="text/html")
    httpserver.expect_request("/data/2014/04/17/fits/saia/saia_00193_fd_20140417_113200.fts.gz").respond_with_data(
        gzip.compress(solar_fits())
    )
    httpserver.expect_request("/data/2014/04/17/fits/shmi/").respond_with_data("<html></html>")
    found = online_sources.solarmonitor(tmp_path, [AIA, MAGNETOGRAM], [NOON], HERE, base)
    assert found[0].name == "aia_193_20140417_113200.fts.gz"
    assert observations.open_observation(tmp_path / found[0].name).instrument == "AIA"
    assert "has no link to shmi_maglc_fd_" in found[1].error


def test_summaries_are_filed_by_their_day_of_issue_and_checked(httpserver, base, tmp_path):
    raw = observations.sample_srs_files()[0].read_bytes()
    from jwvl_lib import swpc

    issued = swpc.srs_times(raw, "SRS")[0].replace(hour=0, minute=0)
    day = issued - (datetime(2000, 1, 2) - datetime(2000, 1, 1))
    httpserver.expect_request(f"/{issued:%Y/%m/%Y%m%d}SRS.txt").respond_with_data(raw)
    other = day.replace(year=day.year + 1)
    following = datetime.fromordinal(other.toordinal() + 1)
    httpserver.expect_request(f"/{following:%Y/%m/%Y%m%d}SRS.txt").respond_with_data(raw)
    found = online_sources.summaries(tmp_path, [day, other], HERE, base)
    assert found[0].name == f"{issued:%Y%m%d}SRS.txt"
    assert (tmp_path / found[0].name).read_bytes() == raw
    assert "a summary issued" in found[1].error
    assert sorted(p.name for p in tmp_path.glob("*SRS.txt")) == [found[0].name]


def test_a_dead_endpoint_is_one_line_and_is_not_asked_again(tmp_path):
    found = online_sources.helioviewer(tmp_path, [AIA, EIT], [NOON] * 5, HERE, "http://127.0.0.1:9")
    assert len(found) == 1
    assert "127.0.0.1 did not answer" in found[0].error
    assert found[0].error.endswith("; 9 more not asked for")
    assert "\n" not in found[0].error


# --------------------------------------------------------------------------------------------------------------------
# Fido


def answer(rows: list[dict]):
    """What `Fido.search` returns: real tables of sunpy's own XRS client, which needs no network to fetch."""
    from sunpy.net.dataretriever import QueryResponse
    from sunpy.net.dataretriever.sources.goes import XRSClient
    from sunpy.net.fido_factory import UnifiedResponse

    return UnifiedResponse(QueryResponse(rows, client=XRSClient()))


def row(start: str, url: str, resolution: str = "avg1m") -> dict:
    return {
        "Start Time": Time(start),
        "End Time": Time(start),
        "Instrument": "x",
        "Physobs": "x",
        "Source": "x",
        "Provider": "x",
        "Resolution": resolution,
        "url": url,
    }


@pytest.mark.parametrize("name", online_channels.NAMES)
def test_fido_understands_every_query(name):
    from sunpy.net.dataretriever.sources.goes import XRSClient
    from sunpy.net.vso import VSOClient

    what = online_channels.channel(name)
    client = XRSClient if name == "XRS" else VSOClient
    assert client._can_handle_query(*online_archives.fido_query(what, NOON))


def test_fido_files_come_through_fetching_nearest_first(httpserver, base, tmp_path):
    httpserver.expect_request("/near").respond_with_data(solar_fits())
    rows = [row("2014-04-17T11:00:00", f"{base}/far"), row("2014-04-17T12:00:06", f"{base}/near")]
    found = online_archives.fido(tmp_path, [AIA], [NOON], HERE, lambda *query: answer(rows))
    assert found[0].name == "aia_193_20140417_120006.fits"
    assert observations.open_observation(tmp_path / found[0].name).date_obs == "2014-04-17T12:00:06"
    again = online_archives.fido(tmp_path, [AIA], [NOON], HERE, lambda *query: answer(rows))
    assert again == found


def test_fido_curves_come_once_a_day_as_minute_means(httpserver, base, tmp_path):
    raw = (observations.sunpy_data() / "sci_gxrs-l2-irrad_g15_d20131028_truncated.nc").read_bytes()
    httpserver.expect_request("/avg.nc").respond_with_data(raw)
    rows = [row("2013-10-28", f"{base}/sec.nc", "flx1s"), row("2013-10-28", f"{base}/avg.nc")]
    day = datetime(2013, 10, 28)
    moments = [day, day.replace(hour=12)]
    found = online_archives.fido(tmp_path, [online_channels.channel("XRS")], moments, HERE, lambda *query: answer(rows))
    assert [f.name for f in found] == ["xrs_20131028_000000.nc"]
    assert len(observations.open_xrs(tmp_path / found[0].name)) > 10


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "Fido finds no AIA 193 near 2014-04-17 12:00:00"),
        ([("2014-04-19T12:00:06", "https://good.example/x")], "48 h away"),
        ([("2014-04-17T12:00:06", "http://203.0.113.7/x")], "host '203.0.113.7' is not allowed"),
        ([("2014-04-17T12:00:06", "ftp://127.0.0.1/x")], "only https"),
    ],
)
def test_what_fido_finds_is_not_trusted(tmp_path, rows, words):
    given = [row(*r) for r in rows]
    found = online_archives.fido(tmp_path, [AIA], [NOON], HERE, lambda *query: answer(given) if given else [])
    assert words in found[0].error


def test_fido_without_a_network_is_one_line(tmp_path):
    def search(*query):
        raise ConnectionError("No online VSO mirrors could be found.")

    found = online_archives.fido(tmp_path, [AIA, EIT], [NOON] * 3, HERE, search)
    assert [f.error for f in found] == [
        "Fido did not answer for AIA 193 (ConnectionError: No online VSO mirrors could be found.); 5 more not asked for"
    ]


def test_addresses_go_over_https():
    assert online_archives.secure("http://jsoc.stanford.edu:80/a?b=c") == "https://jsoc.stanford.edu/a?b=c"
    assert online_archives.secure("http://127.0.0.1:8/a") == "http://127.0.0.1:8/a"


# --------------------------------------------------------------------------------------------------------------------
# JSOC


def test_jsoc_exports_and_fetches(httpserver, base, tmp_path):
    """Shapes of jsoc_fetch: status 2 while it is prepared, then 0 with the folder and the files of the request."""
    import drms

    asked = []
    ready = {
        "status": 0, "requestid": "JSOC_20260101_1", "method": "url", "protocol": "FITS,compress Rice",
        "dir": "/SUM40/S00000", "count": 1, "rcount": 1, "size": 1, "wait": 0, "keywords": "",
        "data": [{"record": "aia.lev1_euv_12s[2014-04-17T12:00:06Z][193]", "filename": "aia.2014-04-17.193.fits"}],
    }  # fmt: skip

    def jsoc_fetch(request: Request) -> Response:
        asked.append(dict(request.values))
        if request.values["op"] == "exp_request":
            return Response(json.dumps({"status": 2, "requestid": "JSOC_20260101_1", "method": "url", "wait": 0}))
        return Response(json.dumps(ready))

    def check(request: Request) -> Response:
        return Response(json.dumps({"status": 2, "msg": "Email address is valid and registered."}))

    httpserver.expect_request("/cgi/jsoc_fetch").respond_with_handler(jsoc_fetch)
    httpserver.expect_request("/cgi/check").respond_with_handler(check)
    httpserver.expect_request("/SUM40/S00000/aia.2014-04-17.193.fits").respond_with_data(solar_fits())
    server = drms.ServerConfig(
        name="here",
        cgi_baseurl=f"{base}/cgi/",
        cgi_jsoc_info="jsoc_info",
        cgi_jsoc_fetch="jsoc_fetch",
        cgi_check_address="check",
        http_download_baseurl=f"{base}/",
    )
    found = online_archives.jsoc(tmp_path, [AIA, EIT], [NOON], "a@example.org", 24, HERE, server)
    assert asked[0]["ds"] == "aia.lev1_euv_12s[2014.04.17_12:00:00_UTC/24h@24h][193]{image}"
    assert [f.error for f in found] == ["EIT 195 is not offered by JSOC", ""]
    assert found[1].name == "aia_193_aia.2014-04-17.193.fits"
    assert observations.open_observation(tmp_path / found[1].name).measurement == "193"


def test_jsoc_without_an_address_or_a_network_is_one_line(tmp_path):
    import drms

    assert "registered address" in online_archives.jsoc(tmp_path, [AIA], [NOON], "", 24)[0].error
    gone = "http://127.0.0.1:9/"
    server = drms.ServerConfig(
        name="gone", cgi_baseurl=gone, cgi_jsoc_info="i", cgi_jsoc_fetch="f", cgi_check_address="c"
    )
    found = online_archives.jsoc(tmp_path, [AIA, MAGNETOGRAM], [NOON], "a@example.org", 24, HERE, server)
    assert len(found) == 1
    assert "JSOC did not answer" in found[0].error
    assert found[0].error.endswith("1 more not asked for")


def test_acquire_files_each_source_in_its_folder_and_survives_their_absence(tmp_path, monkeypatch):
    """All five at once where no name can be looked up: five lines, no file, no exception."""
    import socket

    def nobody(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    found = online_sources.acquire(
        tmp_path, online_sources.SOURCES, "AIA 193, HMI magnetogram", "2014-04-17", "2014-04-18", 24, 10, "a@b.c"
    )
    assert [f.name.split("/")[0] for f in found] == list(online_sources.SOURCES)
    assert all("did not answer" in f.error for f in found)
    assert not list(tmp_path.rglob("*.fits"))
