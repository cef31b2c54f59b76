"""Exports loaded back by their consumers' own rules, and boxes there and back."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoTokenizer

from jwvl_lib import artifacts, boxes, corpus, export

ANSWER = '[{"bbox_2d": [10, 20, 40, 60], "label": "sunspot region"}, {"bbox_2d": [84, 0, 168, 42], "label": "x"}]'


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished corpus of five days and three accepted annotations."""
    folder = tmp_path_factory.mktemp("r") / "tiny"
    for stage in ("01_corpus_curation", "03_review"):
        (folder / stage).mkdir(parents=True)
    table, _ = corpus.build_corpus(folder / "01_corpus_curation", n_simulated_days=5, image_px=84, workers=1)
    _finish(folder / "01_corpus_curation", ["corpus.parquet", "images", "rejects.parquet"])
    asked = [("Where?", ANSWER), ("哪台仪器？", "SDO/AIA 193"), ("Which?", 'He said "yes",\nthen no')]
    chosen = [table.loc[table["split"] == s, "image_id"].iloc[0] for s in ("train", "val", "train")]
    rows = [{"annotation_id": f"a{i}", "image_id": c, "question": q, "answer": a} for i, (c, (q, a)) in
            enumerate(zip(chosen, asked, strict=True))]  # fmt: skip
    artifacts.write_parquet(folder / "03_review" / "accepted.parquet", pd.DataFrame(rows))
    _finish(folder / "03_review", ["accepted.parquet"])
    return folder, table


def _finish(folder, outputs):
    stage = artifacts.Stage(folder.name, folder, {"run_id": "tiny", "profile": "tiny"})
    stage.finish(outputs)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("e") / "out"
    return to, export.export_run(run[0], to)


def test_datasets_loads_the_folder_as_it_is(run, exported, tmp_path, monkeypatch):
    """Hugging Face `datasets`, offline: splits, pictures and metadata by the YAML head of the card."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    table = run[1]
    loaded = datasets.load_dataset(str(exported[0]), cache_dir=str(tmp_path))
    assert {k: len(v) for k, v in loaded.items()} == {
        export.HUB_SPLITS.get(s, s): int(n) for s, n in table["split"].value_counts().items()
    }
    row = loaded["train"][0]
    assert row["image"].size == (84, 84)
    assert set(row) == {"image", "facts", "boxes", *export.COLUMNS}
    own = table.set_index("image_id").loc[row["image_id"]]
    assert json.loads(row["boxes"]) == json.loads(own["boxes"])
    assert [f["fact_id"] for f in json.loads(row["facts"])] == [f["fact_id"] for f in json.loads(own["facts"])]
    picture = Image.open(run[0] / "01_corpus_curation" / own["path"])
    assert np.array_equal(np.asarray(row["image"]), np.asarray(picture))


def test_the_card_has_its_head_counts_and_credits(run, exported):
    text = (exported[0] / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---")[1])
    assert head["configs"][0]["data_files"][0] == {"split": "train", "path": "data/train/**"}
    assert head["license"] == "other"
    assert "**simulated**" in text
    assert "tiny profile" in text
    assert export.SFT_NOTE in text
    assert "- ESA and NASA, SOHO/EIT consortium" in text
    shown = re.findall(r"\| (\d+) \|$", text, re.M)
    assert sum(map(int, shown)) == len(run[1])


def _lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_ms_swift_records_fit_its_standard_format(exported):
    """Custom-dataset page of ms-swift: as many <image> as images, as many <bbox> as boxes, roles in turn."""
    first, second = _lines(exported[0] / "sft" / "ms_swift_train.jsonl")
    for record in (first, second):
        assert set(record) <= {"messages", "images", "objects"}
        text = "".join(m["content"] for m in record["messages"])
        assert text.count("<image>") == len(record["images"]) == 1
        assert text.count("<bbox>") == len(record.get("objects", {"bbox": []})["bbox"])
        assert [m["role"] for m in record["messages"]] == ["user", "assistant"]
        assert (exported[0] / record["images"][0]).is_file()
    assert first["objects"]["bbox"] == [[10, 20, 40, 60], [84, 0, 168, 42]]
    assert first["objects"]["bbox_type"] == "real"
    assert "objects" not in second
    filled = first["messages"][1]["content"]
    for box in first["objects"]["bbox"]:
        filled = filled.replace("<bbox>", json.dumps(box), 1)
    assert [e["bbox_2d"] for e in json.loads(filled)] == [e["bbox_2d"] for e in json.loads(ANSWER)]


def test_trl_records_load_with_their_pictures(exported, tmp_path, monkeypatch):
    """TRL's vision format: `messages` and an `images` column that `datasets` casts to pictures."""
    datasets = pytest.importorskip("datasets")
    path = exported[0] / "sft" / "trl_train.jsonl"
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path))
    monkeypatch.chdir(exported[0])
    loaded = loaded.cast_column("images", datasets.List(datasets.Image()))
    assert loaded[0]["images"][0].size == (84, 84)
    (shown, asked), (answered,) = (m["content"] for m in loaded[1]["messages"])
    assert shown["type"] == "image"
    assert (asked["type"], asked["text"]) == ("text", "Which?")
    assert (answered["type"], answered["text"]) == ("text", 'He said "yes",\nthen no')
    assert [m["role"] for m in loaded[1]["messages"]] == ["user", "assistant"]
    assert json.loads(loaded[0]["messages"][1]["content"][0]["text"]) == json.loads(ANSWER)


def test_llava_records_fit_its_custom_data_format(exported):
    records = json.loads((exported[0] / "sft" / "llava_val.json").read_text(encoding="utf-8"))
    assert [set(r) for r in records] == [{"id", "image", "conversations"}]
    assert [t["from"] for t in records[0]["conversations"]] == ["human", "gpt"]
    assert records[0]["conversations"][0]["value"] == "<image>\n哪台仪器？"
    where = json.loads((exported[0] / "sft" / "llava_train.json").read_text(encoding="utf-8"))[0]
    got = json.loads(where["conversations"][1]["value"])
    assert got[0]["bbox_2d"] == [round(v / 84, 3) for v in (10, 20, 40, 60)]


def test_only_empty_folders_and_finished_runs(run, exported, tmp_path, capsys):
    assert export.main([str(run[0]), "--to", str(exported[0])]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert export.main([str(tmp_path)]) == 1
    assert "has not finished" in capsys.readouterr().err


def test_without_a_review_only_the_pictures(run, tmp_path):
    bare = tmp_path / "bare"
    (bare).mkdir()
    (bare / "01_corpus_curation").symlink_to(run[0] / "01_corpus_curation")
    counts = export.export_run(bare, tmp_path / "out")
    assert not (tmp_path / "out" / "sft").exists()
    assert export.SFT_NOTE not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert sum(counts.values()) == len(run[1])


# --------------------------------------------------------------------------------------------------------------------
# several pictures and turns

EARLIER = [("Which instrument?", "SDO/AIA 193"), ("Where?", ANSWER)]


@pytest.fixture(scope="module")
def accepted(run):
    """Rows of the train split as `03_review` writes them: one picture, two, three; after no turn, one, two."""
    ids = run[1].loc[run[1]["split"] == "train", "image_id"].tolist()
    kinds = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 2)]  # further pictures, earlier turns
    rows = [
        {
            "annotation_id": f"b{k}",
            "image_id": ids[k],
            "question": f"And {k}?",
            "answer": ANSWER if k == 4 else f"no {k}",
            "more_images": json.dumps(ids[k + 1 : k + 1 + n_more]),
            "turns": json.dumps([{"question": q, "answer": a, "about": "x"} for q, a in EARLIER[:n_turns]]),
        }
        for k, (n_more, n_turns) in enumerate(kinds)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def written(run, accepted, tmp_path_factory):
    """Folder with the files of each tool."""
    to = tmp_path_factory.mktemp("s")
    assert export.conversations(run[1], accepted, to) == {
        f"sft/{name}": len(accepted) for name in ("ms_swift_train.jsonl", "trl_train.jsonl", "llava_train.json")
    }
    return to / "sft"


@pytest.fixture(scope="module")
def records(written):
    """The records of each tool, read back."""
    lists = {tool: _lines(written / f"{tool}_train.jsonl") for tool in ("ms_swift", "trl")}
    return lists | {"llava": json.loads((written / "llava_train.json").read_text(encoding="utf-8"))}


def _ms_swift_back(record):
    found = iter(record.get("objects", {"bbox": []})["bbox"])
    said = [(m["role"], re.sub("<bbox>", lambda _: json.dumps(next(found)), m["content"])) for m in record["messages"]]
    assert next(found, None) is None
    return record["images"], said


def _trl_back(record):
    """Parts of a message as one text with <image> for a picture."""
    texts = [(m["role"], [part.get("text", "<image>") for part in m["content"]]) for m in record["messages"]]
    assert all({p["type"] for p in m["content"]} <= {"image", "text"} for m in record["messages"])
    return record["images"], [(role, "".join(parts)) for role, parts in texts]


def _llava_back(record):
    roles = {"human": "user", "gpt": "assistant"}
    said = [(roles[t["from"]], t["value"].replace("<image>\n", "<image>")) for t in record["conversations"]]
    assert isinstance(record["image"], str) or len(record["image"]) > 1  # LLaVA 1.5 reads a path only
    return np.atleast_1d(record["image"]).tolist(), said


BACK = {"ms_swift": _ms_swift_back, "trl": _trl_back, "llava": _llava_back}


def _without_boxes(text):
    return export.BOX_LIST.sub("", text)


@pytest.mark.parametrize("tool", BACK)
def test_every_picture_and_turn_there_and_back(run, exported, accepted, records, tool):
    """As many <image> as pictures, all before the first question; user and assistant in turn; nothing lost."""
    names = run[1].set_index("image_id")["path"].map(lambda path: path.rpartition("/")[2])
    for row, record in zip(accepted.itertuples(), records[tool], strict=True):
        pictures, said = BACK[tool](record)
        assert pictures == [f"data/train/{names[i]}" for i in (row.image_id, *json.loads(row.more_images))]
        assert all((exported[0] / picture).is_file() for picture in pictures)
        assert "".join(text for _, text in said).count("<image>") == len(pictures)
        assert [role for role, _ in said] == ["user", "assistant"] * (len(json.loads(row.turns)) + 1)
        told = [t for turn in json.loads(row.turns) for t in (turn["question"], turn["answer"])]
        expected = ["<image>" * len(pictures), *told, row.question, row.answer]
        assert _without_boxes("".join(text for _, text in said)) == _without_boxes("".join(expected))
        assert said[-2][1].endswith(row.question)


def test_boxes_of_every_turn_are_in_the_convention_of_the_tool(records):
    """Row 4: boxes in the second earlier turn and in the answer."""
    assert records["ms_swift"][4]["objects"]["bbox"] == [[10, 20, 40, 60], [84, 0, 168, 42]] * 2
    turns = records["llava"][4]["conversations"]
    shares = [round(v / 84, 3) for v in (10, 20, 40, 60)]
    assert [json.loads(turns[k]["value"])[0]["bbox_2d"] for k in (3, 5)] == [shares] * 2


def test_trl_records_render_a_placeholder_a_picture(written, records, tmp_path):
    """Through `datasets`, which fills up missing keys with None, and a chat template of Qwen's."""
    datasets = pytest.importorskip("datasets")
    path = written / "trl_train.jsonl"
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(artifacts.REPO / "models" / "tiny_base")
    for row, record in zip(loaded, records["trl"], strict=True):
        text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        assert text.count("<|image_pad|>") == len(row["images"])
        assert "None" not in text
        assert text == tokenizer.apply_chat_template(record["messages"], tokenize=False)


def test_a_further_picture_of_another_split_is_refused(run, accepted, tmp_path):
    """A picture of the test split must not reach the training file."""
    other = run[1].loc[run[1]["split"] == "test", "image_id"].iloc[0]
    rows = accepted.iloc[[1]].assign(more_images=json.dumps([other]))
    with pytest.raises(ValueError, match=f"annotation b1 shows {other}, no picture of the train split"):
        export.conversations(run[1], rows, tmp_path)


# --------------------------------------------------------------------------------------------------------------------
# boxes

SIZES = st.tuples(st.integers(28, 5000), st.integers(28, 5000)).filter(lambda s: max(s) / min(s) < 200)
SHARES = st.lists(st.floats(0, 1), min_size=4, max_size=4)


@pytest.mark.parametrize("convention", boxes.CONVENTIONS)
@given(size=SIZES, shares=SHARES)
def test_boxes_there_and_back(convention, size, shares):
    """At most half a unit of the convention away, in pixels."""
    width, height = size
    box = [shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height]
    back = boxes.from_model(boxes.to_model(box, size, convention), size, convention)
    if convention == "qwen2.5-vl":
        wide, high = boxes.resized(width, height)
        unit = (width / wide, height / high)
    else:
        unit = (width / 1000, height / 1000) if convention == "norm1000" else (max(size) / 1000,) * 2
    assert np.all(np.abs(np.subtract(back, box)) <= 0.5 * np.array(unit * 2) + 1e-6)


@given(size=SIZES)
def test_resizing_is_that_of_the_processor(size):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    high, wide = smart_resize(size[1], size[0], 28, boxes.MIN_PIXELS, boxes.MAX_PIXELS)
    assert boxes.resized(*size) == (wide, high)


def test_known_boxes():
    assert boxes.to_model([0, 0, 168, 84], (168, 168), "qwen2.5-vl") == [0, 0, 168, 84]
    assert boxes.to_model([0, 0, 168, 84], (168, 168), "norm1000") == [0, 0, 1000, 500]
    assert boxes.to_model([0, 0, 100, 50], (100, 50), "norm1") == [0.0, 0.25, 1.0, 0.75]
    with pytest.raises(ValueError, match="'yolo' is not known"):
        boxes.to_model([0, 0, 1, 1], (10, 10), "yolo")
    with pytest.raises(ValueError, match="ratio at most 200"):
        boxes.resized(1, 1000)
