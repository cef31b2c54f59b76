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
