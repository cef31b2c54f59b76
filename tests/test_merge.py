"""What leaves the house: the adapter in plain transformers + PEFT, the merged model behind its gate, the card."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from test_tuning import trained

from jwvl_lib import artifacts, merge, model_card, preflight, tiny_base, tuning

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN = """
import json, sys
from PIL import Image
import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
base, adapter, merged = sys.argv[1:]
tokenizer, images = AutoTokenizer.from_pretrained(base), Qwen2VLImageProcessorPil.from_pretrained(base)
seen = images(images=[Image.new("RGB", (56, 56), "orange")], return_tensors="pt")
text = "<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|>Which instrument?<|im_end|>"
tokens = tokenizer(text, return_tensors="pt")
kinds = (tokens.input_ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
def logits(folder, adapter=None):
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    with torch.no_grad():
        return model(**tokens, **seen, mm_token_type_ids=kinds).logits[0, -1].tolist()
found = [logits(base), logits(base, adapter), logits(merged)]
assert not any(name.startswith("jwvl") for name in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, *trained(folder, "lora", projector=True, tower=False)


def plain_logits(base, adapter, merged):
    """Last logits of the base, of the base under the adapter and of the merged model, by those packages alone."""
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(artifacts.resolve(base)), str(adapter), str(merged)],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.tensor(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_adapter_and_merged_model_load_where_this_library_is_not(run, tmp_path):
    folder, *_ = run
    figures = merge.merge(tiny_base.FOLDER, folder / "adapter", tmp_path / "merged", n_items=4)
    assert figures["greedy_answers_equal"]
    assert figures["largest_logit_difference"] < 1e-3
    base, adapted, whole = plain_logits(tiny_base.FOLDER, folder / "adapter", tmp_path / "merged")
    assert torch.allclose(adapted, whole, atol=1e-3)
    assert not torch.allclose(adapted, base, atol=1e-1)
    assert sorted(p.suffix for p in (tmp_path / "merged").iterdir() if p.suffix not in (".json", ".jinja", ".txt")) == [
        ".safetensors"
    ]


def test_the_gate_stops_a_merge_that_changes_answers(run, tmp_path, monkeypatch, capsys):
    folder, *_ = run
    write = merge._write

    def careless(model, processor, out):
        next(p for n, p in model.named_parameters() if "o_proj" in n).data.add_(0.05)
        write(model, processor, out)

    monkeypatch.setattr(merge, "_write", careless)
    with pytest.raises(merge.MergeError, match="merge in float32, or serve the adapter unmerged"):
        merge.merge(tiny_base.FOLDER, folder / "adapter", tmp_path / "merged", n_items=2)
    assert not (tmp_path / "merged").exists()
    assert merge.main(["--adapter", str(tmp_path / "none"), "--out", str(tmp_path / "merged")]) == 2
    assert merge.main(["--adapter", str(folder), "--out", str(tmp_path)]) == 2
    assert "exists; give a folder that does not" in capsys.readouterr().err


def test_an_adapter_on_a_frozen_tower_fails_the_gate():
    """LoRA leaves the tower's own weights as they are, so their checksum alone would let it pass."""
    model = tuning.prepare(tiny_base.FOLDER, "lora", 4, train_tower=True)
    before = preflight.trainable_table(model)
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "visual" in n and "lora_B" in n).add_(0.1)
    assert preflight.compare_trainable(before, preflight.trainable_table(model))
    with pytest.raises(RuntimeError, match=r"visual.*lora.*\(adapter of the tower\) is free, but was to be frozen"):
        preflight.check_frozen(model, train_projector=False, train_tower=False)
    preflight.check_frozen(model, train_projector=False, train_tower=True)
    projector = tuning.prepare(tiny_base.FOLDER, "lora", 4, train_projector=True)
    with pytest.raises(RuntimeError, match="projector.* is free, but was to be frozen"):
        preflight.check_frozen(projector, train_projector=False, train_tower=False)


def test_trainable_lists_every_weight_and_its_state(run):
    _, _, model, result = run
    records = preflight.with_weights(result.trainable, model)
    rows = [row for record in records for row in record["weights"]]
    assert {row["name"] for row in rows} == {name for name, _ in model.named_parameters()}
    for record in records:
        free = [row for row in record["weights"] if row["trainable"]]
        assert sum(torch.Size(row["shape"]).numel() for row in free) == record["n_trainable"]


def test_the_card_says_what_the_adapter_is_made_of(tmp_path):
    parameters = {"run_id": "r", "profile": "tiny", "base_model": "models/tiny_base", "method": "lora", "lora_r": 4}
    inputs = [{"stage": "01_corpus_curation", "sha256": "ab" * 32}]
    log = [
        {"eval_loss": 2.5, "task_accuracy": 0.25, "seconds": 1},
        {"eval_loss": 0.5, "task_accuracy": 0.75, "seconds": 9},
    ]
    records = [
        {"task": task, "metric": "exact", "group": group, "language": "all", "model": "tuned", "value": 0.5, "n": 7}
        for task, group in (("qa", "simulated"), ("general.colour", "general"))
    ]
    told = dict(parameters=parameters, inputs=inputs, counts={"n_images": 3}, training=model_card.measured(log))
    card = model_card.write(tmp_path, **told, records=records).read_text()
    for part in (
        "license: MIT",
        "ab" * 32,
        "| lora_r | 4 |",
        "validation loss after | 0.5",
        "TINY PROFILE",
        "## Limits",
    ):
        assert part in card
    metrics, forgetting = card.partition("## Forgetting")[::2]
    assert "| qa | exact | simulated | tuned | 0.5 | 7 |" in metrics
    assert "general.colour" in forgetting
    assert "general.colour" not in metrics
    assert str(artifacts.REPO) not in card
    assert "Not measured here: run `05_benchmark`" in model_card.text(**told)
    assert "BitsAndBytesConfig" not in card
    assert "BitsAndBytesConfig" in model_card.text(**told | {"parameters": parameters | {"method": "qlora"}})
    large = parameters | {"base_model": "Qwen/Qwen2.5-VL-7B-Instruct@cc59", "profile": "qwen7b"}
    assert "license: Apache-2.0" in model_card.text(large, inputs, {}, {})
    assert "at commit `cc59`" in model_card.text(large, inputs, {}, {})


FRONT = {
    "---\nlicense: cc-by-nc-4.0\ntags: [x]\n---\n# A base\nlicense: mit\n": "cc-by-nc-4.0",
    "---\nlicense: other\nlicense_name: qwen-research\n---\n": "other: see the base (qwen-research)",
    "---\nlicense_name: qwen-research\n---\n": "other: see the base (qwen-research)",
    "---\ntags: [x]\n---\nlicense: mit\n": "other: see the base",
    "---\nlicense: [\n---\n": "other: see the base",
    "---\nlicense: mit\n": "other: see the base",
    "# A base\n\n---\nlicense: mit\n---\n": "other: see the base",
    "": "other: see the base",
}


@pytest.mark.parametrize(("readme", "licence"), FRONT.items())
def test_the_licence_of_a_base_in_a_folder_is_what_its_own_card_says(tmp_path, readme, licence):
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "model.safetensors").write_bytes(b"of somebody else")
    assert model_card.licence_of_base(str(tmp_path)) == licence
    card = model_card.text(
        {"run_id": "r", "profile": "large", "base_model": str(tmp_path), "method": "lora"}, [], {}, {}
    )
    assert yaml.safe_load(card.split("---")[1])["license"] == licence


def test_a_tiny_base_of_stage_00_is_the_workshops_own_wherever_it_lies(tmp_path):
    """Known by its recipe, which names the weights' hash; other weights beside that recipe are not the workshop's."""
    assert model_card.licence_of_base(tiny_base.FOLDER) == "MIT"
    assert model_card.licence_of_base(str(tmp_path)) == "other: see the base"
    copy = shutil.copytree(artifacts.resolve(tiny_base.FOLDER), tmp_path / "copy")
    assert model_card.licence_of_base(str(copy)) == "MIT"
    (copy / "model.safetensors").write_bytes(b"of somebody else")
    assert model_card.licence_of_base(str(copy)) == "other: see the base"
    (copy / "recipe.json").write_text("[]")
    assert model_card.licence_of_base(str(copy)) == "other: see the base"
