"""Every way of tuning frees what it says, learns, leaves the rest alone and loads again with the same answers."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import TrainingArguments

from jwvl_lib import preflight, samples, tiny_base, train, tuning, vlm

TURNS = [("Which instrument?", "SDO/HMI"), ("读出图中的文字。", "SDO/AIA 171"), ("Spots?", "yes")]
WAYS = [
    ("lora", False, False),
    ("dora", False, False),
    ("qlora", False, False),
    ("full", False, False),
    ("lora", True, False),
    ("lora", True, True),
    ("qlora", True, True),
    ("full", True, True),
]

pytestmark = pytest.mark.usefixtures("one_thread")


def images(n):
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 255, (56, 56, 3), dtype=np.uint8)) for _ in range(n)]


def settings(folder, **changed):
    fixed = dict(max_steps=4, per_device_train_batch_size=2, learning_rate=5e-3, logging_steps=1, seed=0)
    quiet = dict(save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, remove_unused_columns=False)
    plan = dict(label_names=["labels"], train_sampling_strategy="sequential", eval_strategy="no")
    return TrainingArguments(output_dir=str(folder), **fixed | quiet | plan | changed)


def trained(folder, method, projector, tower):
    processor = vlm.load_processor(tiny_base.FOLDER)
    model = tuning.prepare(tiny_base.FOLDER, method, 4, 8, train_projector=projector, train_tower=tower)
    data = samples.prepare_samples(model, processor, images(2), [TURNS] * 2, ["a", "b"])
    train_set = samples.RowDataset(processor, samples.plan_rows(data, 8, 3, seed=0), data)
    val_set = samples.RowDataset(processor, samples.validation_rows(data), data)
    result = train.fit(model, train_set, val_set, settings(folder), folder / "adapter", folder / "log.jsonl")
    return processor, model, result


@pytest.mark.slow
@pytest.mark.parametrize(("method", "projector", "tower"), WAYS)
def test_a_way_of_tuning_frees_what_it_says_learns_and_loads_again(tmp_path, method, projector, tower):
    processor, model, result = trained(tmp_path, method, projector, tower)
    loss = result.log["loss"].dropna().tolist()
    assert loss[-1] < 0.9 * loss[0]
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    whole = method == "full"
    assert any("visual.merger" in name for name in free) == projector
    assert any("visual.blocks" in name for name in free) == tower
    assert any("language_model" in name for name in free)
    assert all("lora_" in name or "merger" in name for name in free) or whole
    frozen = [row for row in result.trainable if not row["trainable"]]
    assert all(row["frozen_sha256_before"] == row["frozen_sha256_after"] for row in frozen)
    loaded = vlm.load_model(tiny_base.FOLDER, tmp_path / "adapter")
    assert (tmp_path / "adapter" / vlm.QUANTISED).exists() == (method == "qlora")
    questions = [question for question, _ in TURNS]
    asked = images(1), questions, [0] * 3, [answer for _, answer in TURNS]
    first, second = (vlm.answer_log_likelihood(m, processor, *asked) for m in (model, loaded))
    assert first == pytest.approx(second, abs=1e-4)


def test_an_adapter_starts_from_weights_that_the_seed_draws():
    first, again, other = (
        preflight.weights_sha256([p for p in tuning.prepare(tiny_base.FOLDER, "lora", 4, seed=s).parameters()])
        for s in (0, 0, 1)
    )
    assert first == again != other


def test_what_cannot_be_is_refused_in_one_line():
    with pytest.raises(ValueError, match="method 'adapter': not a way of tuning here; one of lora, dora"):
        tuning.prepare(tiny_base.FOLDER, "adapter")
    with pytest.raises(
        ValueError, match="stages 'sft,align': not an order of training here; one of 'sft', 'align,sft'"
    ):
        tuning.check_stages("sft,align", True)
    with pytest.raises(ValueError, match="alignment moves the projector; set it true"):
        tuning.check_stages("align,sft", False)
    tuning.check_stages("align,sft", True)


def test_alignment_frees_the_projector_alone_and_gives_back_what_was_free():
    model = tuning.prepare(tiny_base.FOLDER, "lora", train_projector=True)
    before = {name for name, p in model.named_parameters() if p.requires_grad}
    with tuning.projector_only(model):
        within = {name for name, p in model.named_parameters() if p.requires_grad}
    assert within
    assert all("visual.merger" in name for name in within)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == before


def test_qlora_holds_the_decoder_in_four_bits_and_the_tower_whole():
    model = tuning.prepare(tiny_base.FOLDER, "qlora", train_tower=True)
    kinds = {name: type(module).__name__ for name, module in model.named_modules() if name.endswith("base_layer")}
    assert {kind for name, kind in kinds.items() if "language_model" in name} == {"Linear4bit"}
    assert {kind for name, kind in kinds.items() if "visual" in name} == {"Linear"}
    assert all(p.dtype == torch.float32 for name, p in model.named_parameters() if "visual" in name)


def test_features_are_kept_only_where_nothing_free_makes_them():
    processor = vlm.load_processor(tiny_base.FOLDER)
    for projector in (False, True):
        model = tuning.prepare(tiny_base.FOLDER, "lora", train_projector=projector)
        (sample,) = samples.prepare_samples(model, processor, images(1), [TURNS], ["a"])
        assert (sample.features is None) == projector
        assert tuning.sees_through_free_weights(model) == projector
        assert [row["module"] for row in preflight.trainable_table(model) if row["trainable"]] == (
            ["adapter", "projector"] if projector else ["adapter"]
        )


def test_grids_are_known_without_a_picture_being_decoded(tmp_path, monkeypatch):
    processor = vlm.load_processor(tiny_base.FOLDER)
    pictures = [image.resize(size) for image in images(1) for size in ((56, 56), (112, 56), (56, 112), (112, 56))]
    paths = [tmp_path / f"{k}.png" for k in range(4)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    groups, turns = [paths[0], (paths[1], paths[2]), paths[3]], [TURNS] * 3
    frozen, free = (tuning.prepare(tiny_base.FOLDER, "lora", train_tower=tower) for tower in (False, True))
    encoded = samples.prepare_samples(frozen, processor, groups, turns, list("abc"))
    monkeypatch.setattr(samples, "open_picture", lambda _: pytest.fail("decoded"))
    read = samples.prepare_samples(free, processor, groups, turns, list("abc"))
    for known, sample in zip(encoded, read, strict=True):
        assert sample.features is None
        assert sample.image_grid_thw.tolist() == known.image_grid_thw.tolist()
        assert sample.prefix_ids.tolist() == known.prefix_ids.tolist()


@pytest.mark.parametrize("tower", [True, False])
@pytest.mark.parametrize("harm", [lambda data: data[:-200], lambda data: data[:90] + b"\0" + data[91:], lambda _: b"x"])
def test_a_broken_picture_is_named_before_training_starts(tmp_path, harm, tower):
    path = tmp_path / "torn.png"
    images(1)[0].save(path)
    path.write_bytes(harm(path.read_bytes()))
    model = tuning.prepare(tiny_base.FOLDER, "lora", train_tower=tower)
    with pytest.raises(OSError, match=r"torn\.png: no whole picture \(.+\); delete it and run 01_corpus_curation"):
        samples.prepare_samples(model, vlm.load_processor(tiny_base.FOLDER), [path], [TURNS], ["a"])
