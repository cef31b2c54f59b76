"""The scorer of claim_scoring on an extractor that knows all, one that knows nothing, and one that is half right."""

from types import SimpleNamespace

import claim_scoring
import pytest

ENTRIES = claim_scoring.load()
BY_TEXT = {entry["text"]: entry["claims"] for entry in ENTRIES}


def perfect(text, language=None):
    return [SimpleNamespace(**{"noaa_ar": None, "negated": False} | claim) for claim in BY_TEXT[text]]


def perfect_check(text, facts, language=None):
    return BY_TEXT[text]


def test_the_perfect_extractor_scores_one_everywhere():
    result = claim_scoring.score(ENTRIES, perfect, perfect_check)
    for language in ("en", "zh", "all"):
        for kind, row in result[language].items():
            assert (row["precision"], row["recall"], row["verdict_accuracy"]) == (1, 1, 1), (language, kind, row)
        assert result[language]["all"]["n_exact"] == result[language]["all"]["n_sentences"]
    assert claim_scoring.misses(ENTRIES, perfect) == []


def test_the_empty_extractor_recalls_nothing_and_has_no_precision():
    row = claim_scoring.score(ENTRIES, lambda *_: [], lambda *_: [])["all"]["all"]
    assert (row["recall"], row["precision"], row["verdict_accuracy"]) == (0, None, None)
    assert row["n_exact"] == sum(not entry["claims"] for entry in ENTRIES) > 20


def test_a_lost_negation_and_an_invented_claim_cost_precision_and_recall():
    entry = next(e for e in ENTRIES if e["fact_set"] == "flare_day" and any(c.get("negated") for c in e["claims"]))
    wrong = [c | {"negated": False} for c in entry["claims"]] + [{"kind": "n_regions", "value": 171}]
    row = claim_scoring.score([entry], lambda *_: wrong, lambda *_: [])[entry["language"]]["all"]
    n_plain = sum(not c.get("negated") for c in entry["claims"])
    assert row["recall"] == n_plain / len(entry["claims"])
    assert row["precision"] == n_plain / len(wrong)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"kind": "measurement", "value": "171"}, {"kind": "wavelength_angstrom", "value": 171.0}),
        ({"kind": "wavelength_angstrom", "value": 6562.8}, {"kind": "wavelength_angstrom", "value": 6563}),
        ({"kind": "noaa_ar", "value": 2192}, {"kind": "noaa_ar", "value": 12192, "noaa_ar": 12192}),
        ({"kind": "flare", "value": "X2.2@T01:56"}, {"kind": "flare", "value": "x2.2"}),
        ({"kind": "spots_visible", "value": "yes", "negated": True}, {"kind": "spots_visible", "value": "no"}),
    ],
)
def test_two_spellings_of_one_claim_are_equal(one, other):
    keys = [claim_scoring._key(**claim_scoring._fields(c)) for c in (one, other)]
    assert keys[0] == keys[1]


def test_the_set_is_well_formed():
    assert len({e["id"] for e in ENTRIES}) == len(BY_TEXT) == len(ENTRIES)
    for entry in ENTRIES:
        keys = [claim_scoring._key(**claim_scoring._fields(c)) for c in entry["claims"]]
        assert len(keys) == len(set(keys)), entry["id"]
        assert {c["verdict"] for c in entry["claims"]} <= {"supported", "contradicted", "unsupported"}
