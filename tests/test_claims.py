"""The grammar of claims and its verdicts, with the traps of both languages."""

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
        ("no flares", "contradicted"), ("没有耀斑", "contradicted"), ("no M-class flares", "unsupported"),
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
