"""Shared-image sequences compute what separate samples compute, and nothing sees what it must not see."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import flex_attention
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from jwvl_lib import branch_attention, shared_image

VISION_START, VISION_END, IMAGE, VOCABULARY = 3, 4, 5, 64


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=["eager", "sdpa", branch_attention.NAME])
def model(request):
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            rope_parameters=dict(rope_type="default", rope_theta=100.0, mrope_section=[2, 3, 3]),
            pad_token_id=0,
        ),
        vision_config=dict(
            depth=2,
            hidden_size=32,
            intermediate_size=64,
            num_heads=2,
            out_hidden_size=32,
            fullatt_block_indexes=[0, 1],
        ),
        image_token_id=IMAGE,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
    )
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    if request.param == branch_attention.NAME:
        branch_attention.use(model)
    else:
        model.set_attn_implementation(request.param)
    torch.nn.init.normal_(model.lm_head.weight, std=0.3)
    return model


def made_sequence(n_branches, rows=2, columns=3, seed=0):
    """A random sequence and its image's patches; text stands before and after the image."""
    g = torch.Generator().manual_seed(seed)
    words = lambda n: torch.randint(10, VOCABULARY, (n,), generator=g)  # noqa: E731
    image = torch.tensor([VISION_START] + [IMAGE] * (rows * columns) + [VISION_END])
    prefix = torch.cat([words(3), image, words(1)])
    sizes = torch.randint(1, 7, (n_branches, 2), generator=g).tolist()
    branches = [shared_image.Branch(words(n + m), n) for n, m in sizes]
    grid = torch.tensor([[1, 2 * rows, 2 * columns]])
    patches = torch.randn(4 * rows * columns, 3 * 2 * 14 * 14, generator=g)
    return shared_image.assemble(prefix, branches, grid, IMAGE), branches, prefix, patches


def separate_loss(model, prefix, branches, grid, patches):
    """Reference: one plain sample a branch, positions and mask left to transformers."""
    total, n_labels = 0.0, 0
    for branch in branches:
        ids = torch.cat([prefix, branch.input_ids])[None]
        logits = model(
            input_ids=ids,
            pixel_values=patches,
            image_grid_thw=grid,
            mm_token_type_ids=(ids == IMAGE).int(),
            attention_mask=torch.ones_like(ids),
            use_cache=False,
        ).logits[0, :-1]
        target = ids[0, 1:].clone()
        target[: len(prefix) + branch.n_question - 1] = shared_image.IGNORE
        total = total + torch.nn.functional.cross_entropy(logits, target, reduction="sum")
        n_labels += int((target != shared_image.IGNORE).sum())
    return total / n_labels


def shared_loss(model, pairs, cached=False):
    batch = shared_image.collate(pairs, 0, model.config.text_config._attn_implementation, cached)
    labels = batch.pop("labels")
    return shared_image.labelled_loss(model(**batch, use_cache=False), labels)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("n_branches", [1, 2, 6])
@pytest.mark.parametrize("tower", ["frozen", "trained"])
def test_loss_and_gradients_equal_those_of_separate_samples(model, n_branches, tower):
    sequence, branches, prefix, patches = made_sequence(n_branches, seed=n_branches)
    model.model.visual.requires_grad_(tower == "trained")
    separate = separate_loss(model, prefix, branches, sequence.image_grid_thw, patches)
    vision = patches
    if tower == "frozen":
        features = model.model.get_image_features(patches, sequence.image_grid_thw)
        vision = torch.cat(features.pooler_output).detach()
    shared = shared_loss(model, [(sequence, vision)], cached=tower == "frozen")
    assert shared.item() == pytest.approx(separate.item(), rel=1e-5)
    want, got = gradients(model, separate), gradients(model, shared)
    assert set(want) == set(got)
    assert any(name.startswith("model.visual") for name in got) == (tower == "trained")
    for name, gradient in want.items():
        # The floor: parameters whose true gradient is zero (a key's bias) have rounding noise only.
        assert (got[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-7, name


def test_rows_of_several_images_are_padded_without_leaking(model):
    model.model.visual.requires_grad_(True)
    parts = [made_sequence(n, rows=r, columns=c, seed=n) for n, r, c in ((6, 2, 3), (1, 2, 2), (2, 3, 2), (1, 1, 1))]
    pairs = [(sequence, patches) for sequence, _, _, patches in parts]
    assert sorted(map(len, branch_attention.pack([len(s.branch) for s, _ in pairs]))) == [1, 3]
    packed = shared_loss(model, pairs)
    n_labels = [len(sequence.logits_to_keep) for sequence, _ in pairs]
    alone = [shared_loss(model, [pair]) for pair in pairs]
    mean = sum(n * loss for n, loss in zip(n_labels, alone, strict=True)) / sum(n_labels)
    assert packed.item() == pytest.approx(mean.item(), rel=1e-5)


def test_answers_weigh_alike_at_exponent_one_and_tokens_at_zero(model):
    """Weights are those of the answers, however the branches stand in rows; a watched loss is plain."""
    parts = [made_sequence(n, rows=2, columns=2, seed=n) for n in (3, 2)]
    pairs = [(sequence, patches) for sequence, _, _, patches in parts]
    batch = shared_image.collate(pairs, 0, model.config.text_config._attn_implementation, False)
    labels = batch.pop("labels")
    lengths = [len(branch.input_ids) - branch.n_question for _, branches, _, _ in parts for branch in branches]
    assert len(set(lengths)) > 1
    weights = shared_image.statement_weights(labels, 1.0)
    expected = sorted(shared_image.USUAL_STATEMENT / n for n in lengths for _ in range(n))
    assert sorted(weights.tolist()) == pytest.approx(expected)
    assert shared_image.statement_weights(labels, 0.0).unique().tolist() == [1.0]
    outputs = model(**batch, use_cache=False)
    losses = torch.nn.functional.cross_entropy(outputs.logits, labels[labels != shared_image.IGNORE], reduction="none")
    weighted = shared_image.labelled_loss(outputs, labels, len(losses), length_exponent=1.0)
    assert weighted.item() == pytest.approx(((losses * weights).sum() / len(losses)).item(), rel=1e-5)
    with torch.no_grad():  # a validation loss stays in nats a token
        assert shared_image.labelled_loss(outputs, labels, length_exponent=1.0).item() == pytest.approx(
            losses.mean().item(), rel=1e-5
        )


def test_a_sentence_weighs_as_an_answer_of_its_length():
    """What ends the turn belongs to the last sentence, with or without a full stop before it."""
    stop, turn_end, no = 3, 9, shared_image.IGNORE
    labels = torch.tensor(
        [[no, 1, 2, stop, 1, stop, turn_end, no, no, 1, turn_end], [no, 1, stop, 1, 1, 1, turn_end] + [no] * 4]
    )
    lengths = [3] * 3 + [3] * 3 + [2] * 2 + [2] * 2 + [4] * 4
    weights = shared_image.statement_weights(labels, 1.0, (stop,))
    assert weights.tolist() == pytest.approx([shared_image.USUAL_STATEMENT / n for n in lengths])
    whole = shared_image.statement_weights(labels, 1.0)
    assert whole.tolist() == pytest.approx([shared_image.USUAL_STATEMENT / n for n in [6] * 6 + [2] * 2 + [6] * 6])


def test_an_exponent_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="length_exponent 2.0: lies in"):
        shared_image.statement_weights(torch.tensor([[1, 2]]), 2.0)


def test_a_branch_does_not_see_its_neighbours(model):
    sequence, branches, prefix, patches = made_sequence(2)
    other = shared_image.Branch((branches[0].input_ids + 7) % 50 + 10, branches[0].n_question)
    changed = shared_image.assemble(prefix, [other, branches[1]], sequence.image_grid_thw, IMAGE)
    attention = model.config.text_config._attn_implementation
    second = [shared_image.collate([(s, patches)], 0, attention, False) for s in (sequence, changed)]
    with torch.no_grad():
        logits = [model(**{k: v for k, v in b.items() if k not in ("labels", "logits_to_keep")}).logits for b in second]
    n = len(branches[1].input_ids)
    assert torch.allclose(logits[0][0, -n:], logits[1][0, -n:], atol=1e-6)
    assert not torch.allclose(logits[0][0, :-n], logits[1][0, :-n], atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(n_branches=st.integers(1, 6), rows=st.integers(1, 4), columns=st.integers(1, 4), seed=st.integers(0, 99))
def test_mask_positions_and_labels_hold_for_any_shape(n_branches, rows, columns, seed):
    sequence, branches, prefix, _ = made_sequence(n_branches, rows, columns, seed)
    mask, branch = sequence.attention_mask[0, 0], sequence.branch
    query, key = mask.nonzero(as_tuple=True)
    assert bool((key <= query).all())
    assert bool(((branch[key] == 0) | (branch[key] == branch[query])).all())
    assert mask.diagonal().all()
    n_labels = [len(b.input_ids) - b.n_question for b in branches]
    assert int((sequence.labels != shared_image.IGNORE).sum()) == sum(n_labels) == len(sequence.logits_to_keep)
    starts = sequence.position_ids[:, 0, :][:, [int((branch == b).nonzero()[0]) for b in range(1, n_branches + 1)]]
    assert (starts == starts[0, 0]).all()
    assert sequence.n_tokens_separate == sum(len(prefix) + len(b.input_ids) for b in branches)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_packing_keeps_every_sequence_and_no_row_outgrows_the_longest(lengths):
    rows = branch_attention.pack(lengths)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert max(sum(lengths[i] for i in row) for row in rows) == max(lengths)


@given(st.lists(st.lists(st.integers(1, 90), min_size=2, max_size=6), min_size=1, max_size=4))
def test_layout_shows_every_token_what_the_dense_mask_shows(lengths):
    sequences = [torch.arange(len(n)).repeat_interleave(torch.tensor(n)) for n in lengths]  # n[0]: the prefix
    at = branch_attention.layout(sequences)
    owner = torch.cat([torch.full_like(branch, k) for k, branch in enumerate(sequences)])
    dense = shared_image.block_mask(owner[None], torch.cat(sequences)[None])[0, 0]
    found = torch.zeros_like(dense)
    keys = torch.cat([at["context"], at["branches"]], dim=1)
    for asked, read, mask in (
        (at["prefix"], at["prefix"], branch_attention._additive(branch_attention._causal(at["prefix"].shape[1])[None])),
        (at["branches"], keys, at["branch_mask"]),
    ):
        visible = (mask == 0)[:, 0].expand(len(asked), -1, -1)
        row, query, key = visible.nonzero(as_tuple=True)
        found[asked[row, query], read[row, key]] = True
    laid = torch.cat([at["prefix"].flatten(), at["branches"].flatten()])
    assert torch.equal(laid[at["place"]], torch.arange(len(owner)))
    assert not (dense & ~found).any()
    assert not (found & ~dense)[1:].any()  # padding asks as token 0 and is thrown away


@pytest.mark.filterwarnings("ignore")  # FlexAttention says that it is slow where it is not compiled
def test_flex_attention_sees_what_the_dense_mask_shows():
    """The rule itself, the blocks that are skipped, and the forward pass; backward and speed need a GPU."""
    parts = [made_sequence(n, rows=12, columns=12, seed=n) for n in (6, 1, 3)]
    pairs = [(sequence, patches) for sequence, _, _, patches in parts]
    masks = {name: shared_image.collate(pairs, 0, name, False)["attention_mask"] for name in ("sdpa", "flex_attention")}
    dense, blocks = masks["sdpa"], masks["flex_attention"]
    n_rows, _, length, _ = dense.shape
    rule = flex_attention.create_mask(blocks.mask_mod, n_rows, 1, length, length, device="cpu")
    assert torch.equal(rule, dense)
    n_computed = int((blocks.kv_num_blocks + blocks.full_kv_num_blocks).sum())
    assert n_computed < n_rows * (-(-length // 128)) ** 2  # what no token sees is skipped
    query, key, value = torch.randn(3, n_rows, 2, length, 16, generator=torch.Generator().manual_seed(0))
    want = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=dense)
    got = flex_attention.flex_attention(query, key, value, block_mask=blocks)
    assert torch.allclose(got, want, atol=1e-5)


def test_positions_are_those_of_transformers(model):
    sequence, branches, prefix, _ = made_sequence(1, rows=2, columns=4)
    ids = torch.cat([prefix, branches[0].input_ids])[None]
    want, _ = model.model.get_rope_index(ids, (ids == IMAGE).int(), image_grid_thw=sequence.image_grid_thw)
    assert torch.equal(sequence.position_ids, want)


def test_bad_input_is_refused_with_one_line():
    sequence, branches, prefix, _ = made_sequence(1)
    with pytest.raises(ValueError, match="0 branches"):
        shared_image.assemble(prefix, [], sequence.image_grid_thw, IMAGE)
    with pytest.raises(ValueError, match="6 image tokens for a grid of 1x3x3"):
        shared_image.assemble(prefix, branches, torch.tensor([[1, 6, 6]]), IMAGE)
