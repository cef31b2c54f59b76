"""nlg: every profile gives its tool's own numbers, and no crash where the tool has one."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import golden_nlg
from jwvl_lib import nlg
from jwvl_lib.artifacts import REPO

EN = "The image shows a magnetogram. The leading spot of AR 12192 is positive, 12.5 degrees south of the equator."
EN_NEAR = "The picture shows a magnetogram of the Sun. The leading spot of AR 12192 is negative. It lies south."
ZH = "这是一幅由SDO/HMI拍摄的磁图。前导黑子为正极性，位于日面西南。"
ZH_NEAR = "这幅图是SDO/HMI的连续谱像。黑子位于日面西南，前导为正极性。"
BANNER = "SDO/AIA 171\n2014-02-03 00:00 UT"

# every token class that matters to the definition: words of both languages, full stops, numbers with one, blanks
WORDS = st.sampled_from(
    "the a spot sunspot region . , 12.5 X1.5 Fkc 磁图 黑子 前导 正极性 。 ， 171 \n   β ... ．　".split(" ") + ["", " "]
)
TEXTS = st.lists(WORDS, max_size=30).flatmap(lambda words: st.sampled_from(["", " "]).map(lambda gap: gap.join(words)))


@pytest.fixture(scope="module", autouse=True)
def _private_jieba_cache(tmp_path_factory):
    """The reference goes through jieba's shared tokenizer: keep its cache out of the shared temporary folder."""
    import jieba
    import rouge

    assert not hasattr(rouge.Rouge, "cut_sent"), "rouge-chinese overwrote rouge: reinstall rouge==1.0.1"
    jieba.dt.tmp_dir = str(tmp_path_factory.mktemp("jieba"))
    jieba.initialize()


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [(EN_NEAR, EN), (ZH_NEAR, ZH), (EN, ZH), (BANNER, BANNER), ("SDO/AIA 171", BANNER), ("yes", "no"), (EN * 3, EN)],
)
def test_swift_nlg_equals_the_packages(prediction, reference):
    expected = golden_nlg.reference_swift_nlg([prediction], [reference])
    assert nlg.pairs([prediction], [reference]) == pytest.approx(np.array(expected), abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS)
def test_swift_nlg_equals_the_packages_on_any_text(prediction, reference):
    (expected,) = golden_nlg.reference_swift_nlg([prediction], [reference])
    (scores,) = nlg.pairs([prediction], [reference])
    if expected is None:
        assert np.isnan(scores).all()
    else:
        assert scores == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from("abc."), min_size=1, max_size=60),
    st.lists(st.sampled_from("abc."), min_size=1, max_size=60),
)
def test_rouge_takes_the_same_subsequence_among_equals(ours, theirs):
    """A small alphabet has many longest subsequences; the union over sentences shows which one was taken."""
    pair = [" ".join(ours)], [" ".join(theirs)]
    (expected,) = golden_nlg.reference_swift_nlg(*pair)
    if expected is not None:
        assert nlg.pairs(*pair)[0] == pytest.approx(expected, abs=1e-6)


def test_paper_profile_values_do_not_drift():
    scores = nlg.corpus([EN_NEAR, ZH_NEAR, ""], [EN, ZH, ZH])
    assert (scores["n"], scores["n_failed"]) == (2, 1)
    assert [round(scores[name], 3) for name in nlg.NLG] == [30.36, 70.175, 39.474, 57.018]


def test_an_empty_answer_is_skipped_by_swift_and_zero_when_strict():
    predictions, references = [EN, "", "."], [EN, EN, EN]
    lenient = nlg.corpus(predictions, references)
    strict = nlg.corpus(predictions, references, strict=True)
    assert (lenient["n"], lenient["n_failed"]) == (1, 2)
    assert (strict["n"], strict["n_failed"]) == (3, 2)
    assert lenient["bleu_4"] == pytest.approx(100)
    assert strict["rouge_l"] == pytest.approx(lenient["rouge_l"] / 3)
    assert math.isnan(nlg.corpus([""], [EN])["bleu_4"])


def test_long_text_is_scored_where_the_original_overflows():
    long = " ".join(f"word{i % 97} spot" for i in range(500))
    with pytest.raises(RecursionError):
        golden_nlg.reference_swift_nlg([long], [long])
    long = " ".join(f"word{i % 97} spot" for i in range(1500))
    started = time.perf_counter()
    scores = nlg.corpus([long], [long])
    assert time.perf_counter() - started < 10
    assert [scores[name] for name in nlg.NLG] == pytest.approx([100] * 4, abs=1e-4)


def test_tokenizer_leaves_nothing_in_the_shared_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "jieba.cache").write_bytes(b"planted by somebody else")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    nlg._tokenizer.cache_clear()
    nlg._cut_block.cache_clear()
    nlg._swift_pair.cache_clear()
    assert nlg.tokens("太阳黑子 X1.5") == ["太阳黑子", "X1.5"]
    assert [p.name for p in tmp_path.iterdir()] == ["jieba.cache"]


def test_a_user_dictionary_of_another_caller_changes_nothing():
    import jieba

    before = nlg.tokens("βγδ型黑子群")
    jieba.add_word("βγδ型黑子群")
    try:
        assert nlg.tokens("βγδ型黑子群") == before
    finally:
        jieba.del_word("βγδ型黑子群")


# --------------------------------------------------------------------------------------------------------------------
# every profile against its tool, on the same bilingual pairs


@pytest.fixture(scope="module")
def golden():
    """Pairs and what the original packages gave for them, written by golden_nlg.py."""
    return json.loads(golden_nlg.GOLDEN.read_text(encoding="utf-8"))


def test_golden_pairs_are_those_of_the_generator_and_more_than_two_hundred(golden):
    assert golden["pairs"] == [list(pair) for pair in golden_nlg.bilingual_pairs()]
    assert len(golden["pairs"]) >= 200
    assert {x for *_, x in golden["pairs"]} == {"zh", "en"}


@pytest.mark.parametrize("profile", nlg.PAIR_PROFILES)
def test_profiles_equal_their_tools_on_the_bilingual_pairs(profile, golden):
    """None stands where the original crashes or leaves the pair out."""
    expected = golden[profile]
    scores = nlg.pairs([p for p, *_ in golden["pairs"]], [r for _, r, _ in golden["pairs"]], profile)
    crashed = np.array([e is None for e in expected])
    assert np.isnan(scores[:, 0]).tolist() == crashed.tolist()
    assert (~crashed).sum() >= 200
    assert np.abs(scores[~crashed] - np.array([e for e in expected if e is not None])).max() < 1e-6


@pytest.mark.parametrize("language", ["zh", "en"])
def test_corpus_bleu_equals_sacrebleu(language, golden):
    from sacrebleu.metrics import BLEU

    ours, theirs = zip(*((p, r) for p, r, x in golden["pairs"] if x == language), strict=True)
    metric = BLEU(tokenize={"zh": "zh", "en": "13a"}[language])
    statistics = nlg.bleu_statistics(ours, theirs, language)
    assert float(nlg.corpus_bleu(statistics.sum(axis=0))) == pytest.approx(
        golden["sacrebleu"][language]["value"], abs=1e-6
    )
    rng = np.random.default_rng(0)
    for part in [rng.integers(0, len(ours), size) for size in (1, 2, 5, 5, 5, 40)]:
        expected = metric.corpus_score([ours[k] for k in part], [[theirs[k] for k in part]]).score
        assert float(nlg.corpus_bleu(statistics[part].sum(axis=0))) == pytest.approx(expected, abs=1e-6)
    one_by_one = [metric.corpus_score([p], [[r]]).score for p, r in zip(ours, theirs, strict=True)]
    assert nlg.corpus_bleu(statistics) == pytest.approx(one_by_one, abs=1e-6)
    assert str(metric.get_signature()) == nlg.sacrebleu_signature(language)


def test_the_same_pair_differs_from_tool_to_tool():
    """Why a number is printed with its profile."""
    bleu = {profile: nlg.pairs([EN_NEAR], [EN], profile)[0, 0] for profile in nlg.PAIR_PROFILES}
    assert bleu["llamafactory"] > 1.5 * bleu["swift_nlg"] > 2 * bleu["evalscope"]


def test_an_unknown_profile_is_named():
    with pytest.raises(ValueError, match="'swift'.*one of swift_nlg, llamafactory, evalscope"):
        nlg.pairs(["a"], ["a"], "swift")


@pytest.mark.parametrize("text", ["word{} spot. ", "第{}个黑子，"])
def test_five_thousand_tokens_are_scored_under_every_profile(text):
    long = "".join(text.format(i % 97) for i in range(2500))
    other = "".join(text.format(i % 89) for i in range(2500))
    assert len(nlg.tokens(long)) >= 5000
    for profile in nlg.PAIR_PROFILES:
        assert nlg.pairs([long], [long], profile)[0] == pytest.approx([100] * 4, abs=1e-3)
        assert (nlg.pairs([long], [other], profile)[0] < 100).all()
    language = "en" if text.isascii() else "zh"
    assert nlg.corpus_bleu(nlg.bleu_statistics([long], [long], language)).tolist() == pytest.approx([100])


@pytest.mark.parametrize("profile", nlg.PAIR_PROFILES)
def test_strict_counts_every_failed_pair_as_zero(profile):
    lenient = nlg.corpus([EN, "", "---"], [EN] * 3, profile)
    strict = nlg.corpus([EN, "", "---"], [EN] * 3, profile, strict=True)
    assert lenient["n_failed"] == strict["n_failed"] == 2
    assert strict["rouge_1"] == pytest.approx(100 / 3, abs=1e-4)


@pytest.mark.slow
def test_the_evaluate_module_loads_offline_and_gives_the_same(tmp_path, monkeypatch):
    import evaluate

    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    folder = str(REPO / "evaluate_modules" / "jwvl_nlg")
    pair = {"predictions": [EN_NEAR, ""], "references": [EN, EN]}
    for profile in nlg.PAIR_PROFILES:
        module = evaluate.load(folder, profile, cache_dir=str(tmp_path), experiment_id=profile)
        found = module.compute(**pair)
        assert found == pytest.approx(nlg.corpus(*pair.values(), profile))
    found = evaluate.load(folder, "sacrebleu_en", cache_dir=str(tmp_path), experiment_id="s").compute(**pair)
    assert found["signature"] == nlg.sacrebleu_signature("en")
    assert 0 < found["bleu_4"] < 100
