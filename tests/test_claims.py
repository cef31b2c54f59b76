"""The grammar of claims and its verdicts, with the traps of both languages."""

import functools

import claim_scoring
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwvl_lib import claims
from jwvl_lib.facts import Fact

FACTS = [
    Fact("observatory", "SDO"), Fact("instrument", "AIA"), Fact("measurement", "171"),
    Fact("wavelength_angstrom", 171.0), Fact("layer", "corona"), Fact("date_obs", "2014-10-24T21:40:12"),
    Fact("banner_text", "SDO/AIA 171\n2014-10-24 21:40 UT"), Fact("n_regions", 3),
    Fact("noaa_ar", 12192, 12192), Fact("location", "S14W06", 12192), Fact("area_msh", 2740, 12192),
    Fact("mcintosh_class", "Fkc", 12192), Fact("hale_class", "Beta-Gamma-Delta", 12192), Fact("n_spots", 64, 12192),
    Fact("quadrant", "SW", 12192), Fact("leading_polarity", "positive", 12192),
    Fact("noaa_ar", 12193, 12193), Fact("location", "N05E40", 12193), Fact("area_msh", 40, 12193),
    Fact("mcintosh_class", "Dso", 12193), Fact("quadrant", "NE", 12193), Fact("leading_polarity", "negative", 12193),
    Fact("noaa_ar", 12194, 12194), Fact("area_msh", 10, 12194), Fact("quadrant", "NW", 12194),
    Fact("flare", "X3.1@2014-10-24T21:41", 12192),
]  # fmt: skip
SPOTLESS = [Fact("measurement", "continuum"), Fact("layer", "photosphere"), Fact("n_regions", 0)]


def said(text, facts=FACTS, **options):
    return [(c["kind"], c["value"], c["verdict"]) for c in claims.check(text, facts, **options)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AIA 171 active regions are bright", [("instrument", "AIA"), ("measurement", "171")]),
        ("171 Å loops over 3 active regions", [("wavelength_angstrom", 171.0), ("n_regions", 3)]),
        ("17.1 nm", [("wavelength_angstrom", 171.0)]),
        ("H-alpha, not a Beta region", [("measurement", "H-alpha"), ("hale_class", "Beta")]),
        ("Hα filtergram in Lyman-alpha", [("measurement", "H-alpha")]),
        ("a coronal hole, coronal loops and a coronal mass ejection", []),
        ("the transition region", [("layer", "transition region")]),
        ("Fri, 24 Oct 2014", [("date_obs", "2014-10-24")]),
        ("October 24, 2014 at 21:40 UT", [("date_obs", "2014-10-24T21:40")]),
        ("at 21:40 UT", [("date_obs", "T21:40")]),
        ("one or two active regions", [("n_regions", "1-2")]),
        ("at least three numbered regions", [("n_regions", "3+")]),
        ("No numbered regions with spots.", [("n_regions", 0)]),
        ("two regions lie in the NE quadrant", [("quadrant", "NE")]),
        ("no other active regions", []),
        ("positive and negative polarity are mixed", []),
        ("an M1.2 flare; GOES-16; C class", [("flare", "M1.2"), ("observatory", "GOES-16")]),
        ("171 埃的环，三个活动区", [("wavelength_angstrom", 171.0), ("n_regions", 3)]),
        ("2014年10月24日21时40分", [("date_obs", "2014-10-24T21:40")]),
        ("日面上没有带黑子的活动区。", [("n_regions", 0)]),
        ("十二个活动区", [("n_regions", 12)]),
        ("日冕物质抛射来自冕洞", []),
        ("面积 2740 个太阳半球的百万分之一", [("area_msh", 2740)]),
        ("前导黑子极性为负", [("leading_polarity", "negative")]),
        ("图中没有黑子", [("spots_visible", "no")]),
        ("SDO/HMI 磁图", [("observatory", "SDO"), ("instrument", "HMI"), ("measurement", "magnetogram")]),
    ],
)
def test_claims_of_a_text(text, expected):
    assert [(c.kind, c.value) for c in claims.extract(text)] == expected


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("AR 12192", "supported"), ("AR 2192", "supported"), ("活动区 2192", "supported"), ("AR 22192", "contradicted"),
        ("AR 12192 lies at S14W06.", "supported"), ("AR 12192 lies at N14W06.", "contradicted"),
        ("AR 12192 lies at S14E06.", "contradicted"), ("活动区 12192 位于 N14W06。", "contradicted"),
        ("AR 12192 is in the SW quadrant.", "supported"), ("AR 12192 is in the NE quadrant.", "contradicted"),
        ("AR 12193 is classified Fkc.", "contradicted"), ("AR 12193 (Dso)", "supported"),
        ("The largest lies in the SW quadrant.", "supported"), ("The largest lies in the NE quadrant.", "contradicted"),
        ("最大的活动区在西南象限。", "supported"), ("最大的活动区位于东北象限。", "contradicted"),
        ("The largest, AR 12192, is old.", "supported"), ("The largest, AR 12193, is old.", "contradicted"),
        ("One or two active regions.", "contradicted"), ("3个或更多活动区", "supported"),
        ("No region with spots.", "contradicted"), ("没有编号活动区", "contradicted"),
        ("The chromosphere.", "contradicted"), ("色球图像", "contradicted"), ("2014-10-24 21:40 UT", "supported"),
        ("2014-10-25", "contradicted"), ("an X3.1 flare", "supported"), ("an M3.1 flare", "contradicted"),
        ("no flares", "contradicted"), ("没有耀斑", "contradicted"), ("no M-class flares", "supported"),
        ("no X-class flares", "contradicted"),
        ("AR 12194 has class Dso.", "unsupported"), ("64 个黑子", "supported"),
    ],
)  # fmt: skip
def test_verdict_on_the_last_claim(text, verdict):
    assert said(text)[-1][2] == verdict


def test_a_negated_claim_swaps_the_verdict():
    assert said("This is not the chromosphere.") == [("layer", "chromosphere", "supported")]
    assert said("这不是日冕") == [("layer", "corona", "contradicted")]


def test_its_in_the_next_sentence_is_the_same_region():
    (_, second) = claims.check("The largest lies in the SW quadrant. Its leading polarity is negative.", FACTS)
    assert (second["value"], second["verdict"]) == ("negative", "contradicted")
    # without "its" any region may be meant, and AR 12193 leads with negative polarity
    assert said("The leading polarity is negative.") == [("leading_polarity", "negative", "supported")]


@pytest.mark.parametrize(
    ("about", "text", "expected"),
    [
        ("n_regions", "3 or more", ("n_regions", "3+", "supported")),
        ("n_regions", "3个或更多", ("n_regions", "3+", "supported")),
        ("n_regions", "1-2", ("n_regions", "1-2", "contradicted")),
        ("n_regions", "0", ("n_regions", 0, "contradicted")),
        ("largest:quadrant", "SW", ("quadrant", "SW", "supported")),
        ("largest:quadrant", "东北", ("quadrant", "NE", "contradicted")),
        ("largest:leading_polarity", "negative", ("leading_polarity", "negative", "contradicted")),
        ("spots_visible", "no", ("spots_visible", "no", "supported")),
        ("spots_visible", "是", ("spots_visible", "yes", "contradicted")),
        ("banner_text", "SDO/AIA 171\n2014-10-24 21:40 UT", ("banner_text", FACTS[6].value, "supported")),
        ("banner_text", "SDO/AIA 171\n2014-10-24 21:41 UT",
         ("banner_text", "SDO/AIA 171\n2014-10-24 21:41 UT", "contradicted")),
    ],
)  # fmt: skip
def test_a_bare_answer_claims_what_was_asked(about, text, expected):
    assert said(text, about=about) == [expected]
    if about not in ("largest:quadrant", "banner_text"):
        assert said(text) == []


def test_a_region_on_a_spotless_disk_is_contradicted():
    assert said("The largest lies in the NE quadrant.", SPOTLESS) == [("quadrant", "NE", "contradicted")]
    assert said("no", SPOTLESS, about="spots_visible") == [("spots_visible", "no", "supported")]


def test_nothing_is_supported_without_facts():
    text = "SDO/AIA 171, corona, 2014-10-24 21:40 UT. AR 12192 (Fkc) at S14W06, X3.1 flare, 3 active regions."
    assert len(said(text, [])) == 10
    assert {verdict for _, _, verdict in said(text, [])} == {"unsupported"}


def test_a_verdict_names_its_fact():
    (claim,) = claims.check("AR 2192", FACTS)
    assert claim == {
        "kind": "noaa_ar", "value": 2192, "noaa_ar": 2192, "text": "AR 2192", "verdict": "supported",
        "fact_id": Fact("noaa_ar", 12192, 12192).fact_id,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2115 UT on the 24th of October 2014", "date_obs=2014-10-24T21:15"),
        ("On Nov. 9, 2011 at 6:02 pm UT", "date_obs=2011-11-09T18:02"),
        ("Date: 20111109_180234", "date_obs=2011-11-09T18:02:34"),
        ("15/02/2011, not 02/03/2011", "date_obs=2011-02-15"),
        ("北京时间2014年10月25日05:15", "date_obs=2014-10-24T21:15"),
        ("二〇一四年十月二十四日二十一时十五分", "date_obs=2014-10-24T21:15"),
        ("ＡＩＡ １７１ Å", "instrument=AIA measurement=171"),
        ("one hundred and seventy-one angstroms", "wavelength_angstrom=171.0"),
        ("0.0193 micron", "wavelength_angstrom=193.0"),
        ("AR 12192 lies 14° south and 21° west of disk center", "noaa_ar=12192 location=S14W21@12192"),
        ("12192位于日面中心以南14度、以西21度", "noaa_ar=12192 location=S14W21@12192"),
        ("Region 12192 grew from 2410 to 2740 millionths", "noaa_ar=12192 area_msh=2740@12192"),
        ("0.274 percent of the visible hemisphere", "area_msh=2740"),
        ("33 square degrees", ""),
        ("Regions 11967-11969", "noaa_ar=11967 noaa_ar=11968 noaa_ar=11969"),
        ("Three active regions (12192, 12193)", "n_regions=3 noaa_ar=12192 noaa_ar=12193"),
        ("AR 11339 and 11342 have areas of 620 and 30 millionths",
         "noaa_ar=11339 noaa_ar=11342 area_msh=620@11339 area_msh=30@11342"),
        ("12192和12195分别位于西南和东北象限", "noaa_ar=12192 noaa_ar=12195 quadrant=SW@12192 quadrant=NE@12195"),
        ("While AR 12192 is Fkc, the Dso group AR 12195 is small",
         "noaa_ar=12192 mcintosh_class=Fkc@12192 mcintosh_class=Dso@12195 noaa_ar=12195"),
        ("AR 10484, in the NW, is smaller than AR 10486.", "noaa_ar=10484 quadrant=NW@10484 noaa_ar=10486"),
        ("more than 60 spots, fewer than five regions", "n_spots=60+ n_regions=0-4"),
        ("图中大概有四五个活动区", "n_regions=4-5"),
        ("loops over 3 active regions", "n_regions=3"),
        ("not from AIA but from EIT", "!instrument=AIA instrument=EIT"),
        ("neither a beta nor an alpha configuration", "!hale_class=Beta !hale_class=Alpha"),
        ("前导极性不是正，而是负", "!leading_polarity=positive leading_polarity=negative"),
        ("Don't confuse the 6173 Å", "wavelength_angstrom=6173.0"),
        ("X级耀斑没有发生在12192", "!flare=X@12192 noaa_ar=12192"),
        ("A C1.7 flare at 0942 UTC", "flare=C1.7@T09:42"),
        ("The AIA image of 01:55 UT shows the X2.2 flare", "instrument=AIA date_obs=T01:55 flare=X2.2"),
        ("Is AR 12192 really Fkc?", ""),
        ("a 60 percent chance of M-class flares", ""),
        ("The X5.7 of July 2000 was stronger.", ""),
        ("Plasma beta is low in the corona.", ""),
        ("AR 10486-like complexity in AR 11967", "noaa_ar=11967"),
        ("There is no active region 12200", "!noaa_ar=12200"),
        ("日面可见3个活动区：12192、12193", "n_regions=3 noaa_ar=12192 noaa_ar=12193"),
        ("AR 12192 fell from 70 to 67 spots", "noaa_ar=12192 n_spots=67@12192"),
        ("12192面积较昨天增加330，达2740", "noaa_ar=12192 area_msh=2740@12192"),
        ("黑子数方面，11967有92个，11969仅4个", "noaa_ar=11967 n_spots=92@11967 noaa_ar=11969 n_spots=4@11969"),
        ("2978的面积比2976大：前者290，后者110",
         "noaa_ar=2978 noaa_ar=2976 area_msh=290@2978 area_msh=110@2976"),
        ("12192 S14W21 2740 Fkc 67", "noaa_ar=12192 location=S14W21@12192 area_msh=2740@12192 mcintosh_class=Fkc@12192 "
         "n_spots=67@12192"),
        ("Any numbered regions? None at all.", "n_regions=0"),
        ("three filaments, not four", "n_filaments=3 !n_filaments=4"),
        ("C1.7不属于11158，它出自11161", "flare=C1.7@11161 noaa_ar=11158 noaa_ar=11161 !flare=C1.7@11158"),
        ("positive in 9397, as in 9393", "noaa_ar=9397 noaa_ar=9393"),
        ("13180为Dao，与13181同", "noaa_ar=13180 mcintosh_class=Dao@13180 mcintosh_class=Dao@13181 noaa_ar=13181"),
        ("9393的面积是9401的六倍", "noaa_ar=9393 noaa_ar=9401"),
        ("9393 covers 2440 millionths and 9401 covers 400",
         "noaa_ar=9393 area_msh=2440@9393 noaa_ar=9401 area_msh=400@9401"),
        ("面积九百八，黑子二十三四个", "area_msh=980 n_spots=23-24"),
        ("Yesterday, AR 11158 was beta; it is now beta-gamma", "noaa_ar=11158 hale_class=Beta-Gamma@11158"),
    ],
)  # fmt: skip
def test_the_grammar_of_a_sentence(text, expected):
    found = []
    for c in claims.extract(text):
        about = f"@{c.noaa_ar}" if c.noaa_ar and c.kind != "noaa_ar" else ""
        found.append(f"{'!' * c.negated}{c.kind}={c.value}{about}")
    assert " ".join(found) == expected


# --------------------------------------------------------------------------------------------------------------------
# the bar, on sentences that no template made

PRECISION, RECALL = 0.97, 0.95  # the bar, on the whole test set of each language
# Not the bar: what is held where nobody mended. Each blind set, scored once before it was read (precision/recall):
# C .957/.930 en, .919/.920 zh; D .935/.928 (n = 447), .938/.895 (494); E .950/.920 (475), .945/.913 (561), its odd half
# after the even one was mended on .968/.951 (285), .953/.941 (305).
UNREAD_SETS = ("F", "G")  # letters of the sets that nobody who mends has read
UNSEEN_FLOORS = {"en": (PRECISION, RECALL), "zh": (PRECISION, RECALL)}


def _part(entry):
    """ "dev"; of the test split "read" (mended on after it was scored once) or "unseen": the sets nobody has read."""
    if entry["split"] == "dev":
        return "dev"
    return "unseen" if entry["id"].split("-")[1] in UNREAD_SETS else "read"


def test_precision_and_recall_on_written_sentences(capsys):
    """3,065 sentences of ten hands, none made by a template; 874 of them never read by who mends the grammar."""
    entries = claim_scoring.load()
    extract = functools.cache(claims.extract)
    parts = {"dev": ("dev",), "test": ("read", "unseen"), "unseen": ("unseen",)}
    rows = {
        name: claim_scoring.score([e for e in entries if _part(e) in part], extract, claims.check)
        for name, part in parts.items()
        if any(_part(e) in part for e in entries)
    }
    with capsys.disabled():
        print("\nsentences  language  precision  recall  verdicts right  claims  sentences")
        for (name, language), r in {(n, la): rows[n][la]["all"] for n in rows for la in ("en", "zh")}.items():
            print(
                f"{name:<10} {language:<8} {r['precision']:10.3f} {r['recall']:7.3f} {r['verdict_accuracy']:15.3f} "
                f"{r['n']:7d} {r['n_sentences']:10d}"
            )
    for language, (precision, recall) in UNSEEN_FLOORS.items():
        assert rows["unseen"][language]["all"]["n_sentences"] >= 400
        for part in rows:
            row, unseen = rows[part][language]["all"], part == "unseen"
            assert row["precision"] >= (precision if unseen else PRECISION), (part, language)
            assert row["recall"] >= (recall if unseen else RECALL), (part, language)
            assert row["verdict_accuracy"] >= 0.98


@given(
    st.integers(0, 40), st.sampled_from("NS"), st.integers(0, 80), st.sampled_from("EW"), st.sampled_from("NS"),
    st.integers(0, 40), st.integers(0, 80), st.sampled_from("EW"),
)  # fmt: skip
def test_a_location_is_supported_if_and_only_if_it_is_the_true_one(lat, ns, lon, ew, ns2, lat2, lon2, ew2):
    true, claimed = f"{ns}{lat:02d}{ew}{lon:02d}", f"{ns2}{lat2:02d}{ew2}{lon2:02d}"
    facts = [Fact("noaa_ar", 12192, 12192), Fact("location", true, 12192)]
    for text in (f"AR 12192 lies at {claimed}.", f"活动区 12192 位于 {claimed}。"):
        assert (said(text, facts)[-1][2] == "supported") == (true == claimed)


@given(st.text(max_size=80))
def test_any_text_can_be_checked(text):
    for claim in claims.check(text, FACTS):
        assert claim["text"] in text
        assert claim["verdict"] in claims.VERDICTS


# --------------------------------------------------------------------------------------------------------------------
# dates and clocks that there are not, midnight, and whose flares are denied

IMPOSSIBLE = [
    "北京时间2014年2月30日07:41", "29 February 2015 at 06:00 CST", "北京时间24:30", "2015-02-29T07:41 UT+8",
    "北京时间〇〇〇〇年二月三十日七点四十一分", "北京时间〇〇〇一年一月一日五点零分", "世界时二十五时三十分",
    "2014年10月24日30时", "32 October 2014", "October 32, 2014", "2014-13-01", "31/13/2014", "2014年13月1日",
    "十月三十二日", "24.14.2014", "25:30 UT", "21:75 UT", "UT 24:30", "北京时间25:10", "20140230_0741 UT",
    "九九九九年十二月三十一日24:00",
]  # fmt: skip


@pytest.mark.parametrize("when", IMPOSSIBLE)
def test_no_fact_supports_a_date_that_there_is_not(when):
    for text in (when, f"The picture was taken on {when}.", f"AR 12192 (Fkc), {when}", f"此图摄于{when}。"):
        assert "supported" not in {verdict for kind, _, verdict in said(text) if kind == "date_obs"}
        assert [kind for kind, _, _ in said(text)].count("date_obs") == 1, text


@pytest.mark.parametrize("when", ["at 24:30 UT", "at 25:30 UT", "on 30 February 2014", "at 21:41 UT on 30 February"])
@pytest.mark.parametrize("flare", ["An X3.1 flare in region 12192 peaked {}.", "The X3.1 of AR 12192 erupted {}."])
def test_a_flare_at_no_time_is_not_supported(flare, when):
    assert "contradicted" in {verdict for _, _, verdict in said(flare.format(when))}
    day = [f for f in FACTS if f.kind in ("noaa_ar", "flare")]
    assert {verdict for _, _, verdict in said(flare.format(when), day)} & {"contradicted", "unsupported"}


def test_sixty_four_may_is_no_date():
    assert claims.extract("Of these spots 64 may belong to AR 12192.")[0].kind != "date_obs"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2014-10-24 24:00 UT", "2014-10-25T00:00"), ("at 24:00 UT on 31 December 2014", "2015-01-01T00:00"),
        ("2014年10月24日24时", "2014-10-25T00"), ("24 October 2014, timed at 24:00:00 UT", "2014-10-25T00:00:00"),
        ("24:00 UT", "T00:00"), ("北京时间24:00", "T16:00"), ("北京时间2014年10月24日24:00", "2014-10-24T16:00"),
        ("24/10/2014 at 24:00 UT", "2014-10-25T00:00"), ("24/10/2014 05:15 Beijing time", "2014-10-23T21:15"),
        ("10月24日24:00", "--10-25T00:00"), ("2014年2月30日24:00", "2014-02-30T00:00"),
    ],
)  # fmt: skip
def test_twenty_four_hours_are_midnight_of_the_next_day(text, value):
    assert [c.value for c in claims.extract(text) if c.kind == "date_obs"] == [value]


_WHEN = st.builds(
    str.format,
    st.sampled_from(
        ["{}年{}月{}日{}:{}", "北京时间{}年{}月{}日{}时{}分", "{0}-{1}-{2}T{3}:{4} UT",
         "{2}/{1}/{0} {3}:{4} Beijing time", "北京时间{3}:{4}", "{3}:{4} CST on {2} February {0}",
         "February {2}, {0} at {3}:{4} UT", "{2}.{1}.{0} {3}:{4}",
         "X3.1 peaked at {3}:{4} UT", "X3.1级耀斑峰值北京时间{1}月{2}日{3}:{4}", "{0}{1}{2}_{3}{4} UT", "{3}点{4}分"]
    ),
    *(st.integers(0, high).map(str) | st.sampled_from([f"{high:02d}", "〇〇", "二十九", "三十", "十", "〇〇〇〇"])
      for high in (9999, 14, 33, 26, 65)),
)  # fmt: skip


@given(_WHEN)
def test_any_date_can_be_checked(text):
    for claim in claims.check(f"AR 12192: {text}.", FACTS):
        assert claim["verdict"] in claims.VERDICTS


CROSSING = [Fact("noaa_ar", 12192, 12192), Fact("flare", "X1.1@2014-10-24T00:03", 12192)]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The X1.1 flare began at 23:55 UT.", "supported"), ("The X1.1 flare peaked at 00:03 UT.", "supported"),
        ("X1.1级耀斑开始于23:55 UT。", "supported"), ("The X1.1 flare peaked at 24:00 UT.", "supported"),
        ("The X1.1 flare began at 23:55 UT on 23 October 2014.", "supported"),
        ("The X1.1 flare began at 23:55 UT on 23 October.", "supported"),
        ("X1.1级耀斑于2014年10月23日24:00达到峰值。", "supported"),
        ("The X1.1 flare began at 23:55 UT on 24 October 2014.", "contradicted"),
        ("The X1.1 flare peaked at 00:03 UT on 23 October 2014.", "contradicted"),
        ("The X1.1 flare peaked at 00:03 UT on 23 October.", "contradicted"),
        ("The X1.1 flare began at 23:50 UT.", "contradicted"), ("The X1.1 flare peaked at 12:03 UT.", "contradicted"),
    ],
)  # fmt: skip
def test_a_flare_that_crosses_midnight(text, verdict):
    assert said(text, CROSSING)[-1][2] == verdict


def test_a_flare_that_crosses_the_year():
    facts = [Fact("flare", "M1.0@2015-01-01T00:03", 12192)]
    assert said("The M1.0 flare began at 23:56 UT on 31 December.", facts)[-1][2] == "supported"


ATTRIBUTED = [
    Fact("noaa_ar", 12187, 12187), Fact("noaa_ar", 12192, 12192), Fact("area_msh", 9, 12187),
    Fact("area_msh", 2740, 12192), Fact("flare", "M1.1@2014-10-23T09:50", 12192),
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["AR 12187 had no flare.", "No flares were seen in AR 12187.", "活动区12187没有X射线耀斑。", "2187全天无耀斑。",
     "2014年10月23日的事件表中活动区12187没有X射线耀斑。", "AR 12187 is small and produced no flares.",
     "AR 12187 is small. It had no flares.", "活动区12187很小。该活动区没有耀斑。", "没有耀斑来自活动区12187。"],
)  # fmt: skip
def test_that_a_region_had_no_flare_is_about_that_region(text):
    assert ("flares_seen", "no", "supported") in said(text, ATTRIBUTED)
    own = text.replace("12187", "12192").replace("2187", "2192")
    assert ("flares_seen", "no", "contradicted") in said(own, ATTRIBUTED)
    nobodys = [*ATTRIBUTED, Fact("flare", "C1.1@2014-10-23T10:50")]
    assert ("flares_seen", "no", "unsupported") in said(text, nobodys)
    assert ("flares_seen", "no", "contradicted") in said(own, nobodys)
    assert ("flares_seen", "no", "unsupported") in said(text, ATTRIBUTED[:2])


def test_a_flare_of_no_region_may_be_any_regions():
    text, nobodys = "AR 12187 had no M-class flare.", Fact("flare", "M2.0@2014-10-23T11:50")
    assert said(text, ATTRIBUTED)[-1][0::2] == ("flare", "supported")
    assert said(text, [*ATTRIBUTED, nobodys])[-1][0::2] == ("flare", "unsupported")
    own = Fact("flare", "M3.0@2014-10-23T12:50", 12187)
    assert said(text, [*ATTRIBUTED, nobodys, own])[-1][0::2] == ("flare", "contradicted")


@pytest.mark.parametrize(
    "text",
    ["No flares were seen.", "No flares were seen, and AR 12187 decayed.", "AR 12187 is small. No flares were seen.",
     "AR 12187 is small; no flares were seen on the disk.",
     "活动区12187很小，日面上没有耀斑。", "The largest had no flares."],
)  # fmt: skip
def test_that_no_flare_was_seen_is_about_the_disk_or_the_largest(text):
    assert ("flares_seen", "no", "contradicted") in said(text, ATTRIBUTED)


@pytest.mark.parametrize(
    "text",
    ["No flares were seen except in AR 12192.", "No flares were seen outside AR 12192.", "12192以外没有耀斑。",
     "AR 12192 flared, other regions had no flares.", "除12192外没有耀斑。", "12187除M1.1外别无耀斑。"],
)  # fmt: skip
def test_no_flare_but_one_decides_nothing(text):
    assert "flares_seen" not in {kind for kind, _, _ in said(text, ATTRIBUTED)}
