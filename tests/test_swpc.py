"""SRS and events by column: sunpy's own files, edge cases of the real archive, and what is written reads back."""

import tarfile
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sunpy
from hypothesis import given, settings
from hypothesis import strategies as st
from sunpy.io.special import srs as sunpy_srs

from jwvl_lib import swpc

SUNPY_SRS = Path(sunpy.__file__).parent / "data" / "test" / "SRS"
PUBLIC_SRS = (
    "issued valid section noaa_ar location lat_deg lon_deg carrington_lon_deg area_msh mcintosh_class extent_deg "
    "n_spots hale_class line text"
).split()
PUBLIC_EVENTS = (
    "date event_id begin peak end observatory quality type location particulars goes_class noaa_ar line text"
).split()
EVENTS_HEAD = b":Product: 20141024events.txt\n:Created: 2014 Oct 27 0357 UT\n:Date: 2014 10 24\n#\n"


def _row(frame: pd.DataFrame, noaa_ar: int, section: str = "I") -> pd.Series:
    return frame[(frame["noaa_ar"] == noaa_ar) & (frame["section"] == section)].iloc[0]


# --------------------------------------------------------------------------------------------------------------------
# reading SRS


@pytest.mark.parametrize("path", sorted(SUNPY_SRS.glob("*SRS.txt")), ids=lambda p: p.name)
def test_agrees_with_sunpy_on_its_own_files(path):
    ours, theirs = swpc.read_srs(path), sunpy_srs.read_srs(path)
    assert list(ours.columns) == PUBLIC_SRS
    # sunpy adds 10000 to the last regions of the old count too (9997 -> 19997), which the file's own note contradicts
    assert list(ours["noaa_ar"]) == [n - 10000 if n > 19900 else n for n in theirs["Number"]]
    assert list(ours["section"]) == list(theirs["ID"])
    spots = ours[ours["section"] == "I"]
    theirs = theirs[theirs["ID"] == "I"]
    assert list(spots["area_msh"]) == [int(v) for v in theirs["Area"].value]
    assert list(spots["lon_deg"]) == [float(v) for v in theirs["Longitude"].value]
    assert [v.lower() for v in spots["hale_class"]] == [str(v).lower() for v in theirs["Mag Type"]]


def test_every_row_quotes_its_raw_line():
    for path in SUNPY_SRS.glob("*SRS.txt"):
        lines = path.read_bytes().split(b"\n")
        for row in swpc.read_srs(path).itertuples():
            assert lines[row.line - 1].decode() == row.text


def test_upper_case_file_of_2000():
    frame = swpc.read_srs(SUNPY_SRS / "20000927SRS.txt")
    region = _row(frame, 9169)
    assert (region.location, region.area_msh, region.mcintosh_class, region.n_spots) == ("N12W34", 1210, "Fkc", 67)
    assert region.hale_class == "Beta-Gamma"
    assert (region.lat_deg, region.lon_deg, region.carrington_lon_deg) == (12.0, 34.0, 76.0)
    assert region.issued == pd.Timestamp("2000-09-27 00:30")
    assert region.valid == pd.Timestamp("2000-09-27 00:00")  # printed as 26/2400Z


def test_numbers_across_10000():
    frame = swpc.read_srs(SUNPY_SRS / "20020624SRS.txt")
    assert set(frame["noaa_ar"]) >= {10001, 10014, 9997, 10006, 9973}
    assert swpc.full_noaa_number(2192, datetime(2014, 10, 24)) == 12192
    assert swpc.full_noaa_number(8124, datetime(1998, 1, 1)) == 8124


def test_dtypes_are_nullable():
    frame = swpc.read_srs(SUNPY_SRS / "20150306SRS.txt")
    assert {c: str(t) for c, t in frame.dtypes.items()} == swpc.SRS_DTYPES


EDGE_CASES = [  # file, region, section, field, value
    ("20110725SRS.txt", 11260, "I", "n_spots", None),
    ("20110725SRS.txt", 11260, "I", "hale_class", "Alpha"),
    ("20120306SRS.txt", 11430, "I", "hale_class", None),
    ("20131023SRS.txt", 11875, "I", "n_spots", 123),
    ("20131023SRS.txt", 11875, "I", "hale_class", "Beta-Gamma-Delta"),
    ("20100228SRS.txt", 11045, "II", "carrington_lon_deg", None),
    ("20100228SRS.txt", 11045, "II", "lat_deg", 19.0),
    ("20110213SRS.txt", 11160, "IA", "lon_deg", -88.0),
    ("20190516SRS.txt", 12741, "I", "area_msh", 150),
    ("20031028SRS.txt", 10486, "I", "area_msh", 2180),
]


@pytest.mark.parametrize(("name", "number", "section", "field", "value"), EDGE_CASES)
def test_edge_cases_of_the_archive(shared_data, name, number, section, field, value):
    found = _row(swpc.read_srs(shared_data / "swpc_srs_edge_cases" / "real" / name), number, section)[field]
    assert pd.isna(found) if value is None else found == value


def test_every_edge_case_reads_but_the_empty_and_the_misfiled(shared_data):
    refused = {}
    for path in sorted((shared_data / "swpc_srs_edge_cases").rglob("*.txt")):
        try:
            swpc.read_srs(path)
        except swpc.SwpcFormatError as error:
            refused[path.name] = str(error)
    assert sorted(refused) == ["20020614SRS.txt", "20040922SRS.txt"]
    assert "0 bytes" in refused["20040922SRS.txt"]
    assert "another product" in refused["20020614SRS.txt"]
    joined = swpc.read_srs(shared_data / "swpc_srs_edge_cases" / "arccnet" / "19961209SRS.txt")
    assert _row(joined, 7997, "II").carrington_lon_deg == 242  # its heading has no line end


def _members(tar: Path, suffix: str) -> list[tuple[str, bytes]]:
    with tarfile.open(tar) as archive:
        return [(m.name[-15:], archive.extractfile(m).read()) for m in archive if m.name.endswith(suffix)]


@pytest.mark.slow
def test_the_whole_archive_of_summaries(shared_data):
    records, refused, n_files = [], [], 0
    for tar in sorted((shared_data / "swpc_text_archive").glob("srs_*.tar.gz")):
        for name, raw in _members(tar, "SRS.txt"):
            n_files += 1
            try:
                records += swpc.parse_srs(raw, name)
            except swpc.SwpcFormatError:
                refused.append(name)
    assert (n_files, refused) == (5841, ["20020614SRS.txt", "20040922SRS.txt"])
    frame = swpc.srs_table(records)
    assert frame.groupby("section").size().to_dict() == {"I": 30274, "IA": 9816, "II": 8020}
    spots = frame[frame["section"] == "I"]
    assert spots[["noaa_ar", "location", "area_msh", "mcintosh_class"]].notna().all(axis=None)
    assert spots["noaa_ar"].between(8100, 12600).all()


@pytest.mark.slow
def test_every_event_row_of_the_archive(shared_data):
    members = _members(shared_data / "swpc_text_archive" / "events_2008_2015.tar.gz", "events.txt")
    frame = swpc.events_table(r for name, raw in members for r in swpc.parse_events(raw, name))
    assert len(frame) == 53692
    assert frame["begin"].notna().all()
    assert (frame["end"] >= frame["begin"]).all()
    flares = frame[frame["type"] == "XRA"]
    assert len(flares) == 12354
    assert flares["goes_class"].notna().all()
    assert frame["noaa_ar"].dropna().between(10900, 12500).mean() > 0.999  # a few numbers are typing errors


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "0 bytes"),
        (b"\n \n", "no text"),
        (b"<html>404</html>", "html"),
        (b":Issued: 2014 Oct 24 0030 UTC\nI.  Regions with Sunspots.\nNone\n", "IA, II is missing"),
        (b":Issued: 2014 Feb 30 0030 UTC\n", "no date"),
    ],
)
def test_a_file_that_is_no_summary_is_refused_in_one_line(tmp_path, raw, says):
    path = tmp_path / "20141024SRS.txt"
    path.write_bytes(raw)
    with pytest.raises(swpc.SwpcFormatError) as caught:
        swpc.read_srs(path)
    assert says in str(caught.value)
    assert "20141024SRS.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "cut", ["2187 S09W81   321  01", "2187 S09W81   321  0110 Hs", "21x7 S09W81   321  0110 Hsx  03   01"]
)
def test_a_row_that_is_cut_is_refused_and_never_a_wrong_number(cut):
    text = _summary_of(_regions()).replace("2192 S14W06   247  2740 Fkc  21   58 Beta-Gamma-Delta", cut)
    with pytest.raises(swpc.SwpcFormatError, match="line 11"):
        swpc.parse_srs(text.encode())


def test_carriage_returns_and_bad_bytes_do_not_move_lines():
    text = _summary_of(_regions()).replace("#\n", "# \x85\x0b\n", 1)
    raw = text.encode("latin-1").replace(b"\n", b"\r\n")
    (row,) = swpc.parse_srs(raw)
    assert row["line"] == 11
    assert raw.split(b"\r\n")[10].decode() == row["text"]


# --------------------------------------------------------------------------------------------------------------------
# events


def test_events_by_column(tmp_path):
    path = tmp_path / "20141024events.txt"
    path.write_bytes(
        EVENTS_HEAD
        + b"5400       2107   2141      2213  G15  5   XRA  1-8A      X3.1    8.6E-01   2192\n"
        + b"5400 +     2050   2115      0014  HOL  3   FLA  S16W21    3B      UMB       2192\n"
        + b" 260 +    B0755  U////     A0802  SVI  C   RSP  028-085   II/1    664           \n"
    )
    frame = swpc.read_events(path)
    assert list(frame.columns) == PUBLIC_EVENTS
    flare, optical, radio = frame.itertuples(index=False)
    assert (flare.goes_class, flare.noaa_ar, flare.event_id) == ("X3.1", 12192, "5400")
    assert flare.peak == pd.Timestamp("2014-10-24 21:41")
    assert optical.end == pd.Timestamp("2014-10-25 00:14")
    assert (optical.location, optical.particulars) == ("S16W21", "3B      UMB")
    assert (radio.event_id, radio.begin) == ("260", pd.Timestamp("2014-10-24 07:55"))
    assert pd.isna(radio.peak)
    assert pd.isna(radio.noaa_ar)
    assert pd.isna(radio.goes_class)


def test_overflowing_and_shifted_event_rows():
    rows = swpc.parse_events(
        EVENTS_HEAD
        + b"6900 +    B1912   ////     A0106  SOH  2   CME  XUV,EUV,UV347-346/FS198       11158\n"
        + b"7010       1325   ////      1625  SOH////   CME  ////      090-270 295           \n"
        + b"7020       1325   ////      1625  SOH  4   CME  XUV,EUV,UV124-325/FS452       32030\n"
    )
    assert [(r["type"], r["noaa_ar"]) for r in rows] == [("CME", 11158), ("CME", None), ("CME", None)]


def test_a_day_without_events_is_an_empty_frame(shared_data):
    assert swpc.read_events(shared_data / "swpc_events_edge_cases" / "20080103events.txt").empty


@pytest.mark.parametrize("raw", [b"", b":Issued: 2014 Oct 24 0030 UTC\n", EVENTS_HEAD + b"5400       2107   21"])
def test_a_file_that_is_no_events_list_is_refused(raw):
    with pytest.raises(swpc.SwpcFormatError):
        swpc.parse_events(raw)


# --------------------------------------------------------------------------------------------------------------------
# writing


def _regions(**changes) -> pd.DataFrame:
    region = {
        "section": "I",
        "noaa_ar": 12192,
        "lat_deg": -14.0,
        "lon_deg": 6.0,
        "carrington_lon_deg": 247.0,
        "area_msh": 2740,
        "mcintosh_class": "Fkc",
        "extent_deg": 21,
        "n_spots": 58,
        "hale_class": "Beta-Gamma-Delta",
    }
    return pd.DataFrame([{**region, **changes}])


def _summary_of(frame: pd.DataFrame, issued: datetime = datetime(2014, 10, 24, 0, 30)) -> str:
    return swpc.write_srs(frame, issued)


@pytest.mark.parametrize("day", ["20141018", "20141024", "20141025"])
def test_writes_the_bytes_of_the_real_file(shared_data, day):
    path = shared_data / "swpc_text_runs" / "ar12192_2014oct" / "srs" / f"{day}SRS.txt"
    frame = swpc.read_srs(path)
    assert swpc.write_srs(frame, frame["issued"].iloc[0].to_pydatetime()).encode() == path.read_bytes()


FIELDS = (
    "section noaa_ar lat_deg lon_deg carrington_lon_deg area_msh mcintosh_class extent_deg n_spots hale_class"
).split()
NUMBERS = st.integers(10000, 19999)
CARRINGTON = st.integers(0, 360)
SPOTTED = st.fixed_dictionaries(
    {
        "section": st.just("I"),
        "noaa_ar": NUMBERS,
        "lat_deg": st.integers(-60, 60),
        "lon_deg": st.integers(-100, 100),
        "carrington_lon_deg": CARRINGTON,
        "area_msh": st.integers(0, 9999),
        "mcintosh_class": st.from_regex(r"[A-FH][xrsahk][xoic]", fullmatch=True),
        "extent_deg": st.integers(0, 99),
        "n_spots": st.one_of(st.none(), st.integers(0, 199)),
        "hale_class": st.sampled_from([None, "Alpha", "Beta", "Beta-Gamma", "Beta-Gamma-Delta"]),
    }
)
PLAGE = st.fixed_dictionaries(
    {
        "section": st.just("IA"),
        "noaa_ar": NUMBERS,
        "lat_deg": st.integers(-60, 60),
        "lon_deg": st.integers(-99, 99),
        "carrington_lon_deg": st.one_of(st.none(), CARRINGTON),
    }
)
RETURNING = st.fixed_dictionaries(
    {
        "section": st.just("II"),
        "noaa_ar": NUMBERS,
        "lat_deg": st.integers(-60, 60),
        "carrington_lon_deg": CARRINGTON,
    }
)
DATES = st.datetimes(datetime(2003, 1, 1), datetime(2039, 12, 31)).map(lambda d: d.replace(second=0, microsecond=0))


@settings(max_examples=40)
@given(st.lists(st.one_of(SPOTTED, PLAGE, RETURNING), max_size=12), DATES)
def test_what_is_written_reads_back(rows, issued):
    order = {"I": 0, "IA": 1, "II": 2}
    rows = sorted(rows, key=lambda r: order[r["section"]])
    text = swpc.write_srs(pd.DataFrame(rows, columns=FIELDS), issued)
    back = swpc.parse_srs(text.encode())
    assert [{k: r[k] for k in row} for row, r in zip(rows, back, strict=True)] == rows
    assert all(r["issued"] == issued and r["valid"] == issued.replace(hour=0, minute=0) for r in back)
    again = swpc.write_srs(swpc.srs_table(back), issued) if back else text
    assert again == text


def test_sunpy_reads_what_is_written(tmp_path):
    path = tmp_path / "20141024SRS.txt"
    path.write_text(_summary_of(pd.concat([_regions(), _regions(section="IA", noaa_ar=12190)])))
    table = sunpy_srs.read_srs(path)
    assert list(table["Number"]) == [12192, 12190]
    assert table["Area"][0].value == 2740
    assert list(table["Longitude"].value) == [6, 6]


def test_an_empty_sun_writes_three_none_lines():
    text = _summary_of(_regions().iloc[:0])
    assert text.split("\n").count("None") == 3
    assert swpc.parse_srs(text.encode()) == []
    assert swpc.srs_times(text.encode())[0] == datetime(2014, 10, 24, 0, 30)


@pytest.mark.parametrize(
    "change", [{"noaa_ar": 8124}, {"noaa_ar": 20001}, {"area_msh": 12000}, {"mcintosh_class": "F"}, {"lat_deg": 123.0}]
)
def test_values_the_columns_cannot_hold_are_refused(change):
    with pytest.raises(swpc.SwpcFormatError, match="cannot be written"):
        _summary_of(_regions(**change))


def test_numbers_of_the_old_count_are_written_with_old_dates():
    issued = datetime(1998, 1, 1, 0, 30)
    (row,) = swpc.parse_srs(_summary_of(_regions(noaa_ar=8124), issued).encode())
    assert row["noaa_ar"] == 8124
    assert row["valid"] - row["issued"] == -timedelta(minutes=30)
