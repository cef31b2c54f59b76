"""The last layer computes what is asked for alone: the same logits, loss and gradients; other calls as they were."""

import pytest
import tiny_others
import torch
from test_other_bases import TALK, pictures

from jwvl_lib import last_layer, samples, shared_image, tiny_base, tuning, vlm

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=["tiny", *tiny_others.FAMILIES])
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    name = request.param
    return str(tiny_base.FOLDER) if name == "tiny" else tiny_others.save(name, tmp_path_factory.mktemp(name))


def prepared(monkeypatch, folder, asked_only, method="lora"):
    """A model with everything free in its way, and a batch of two images with five annotations."""
    if not asked_only:
        monkeypatch.setattr(last_layer, "use", lambda model: False)
    model = tuning.prepare(folder, method, 4, 8, train_projector=True, train_tower=True)
    processor = vlm.load_processor(folder)
    data = samples.prepare_samples(
        model, processor, [tuple(pictures(2)), pictures(1)[0]], [TALK, TALK[:2]], ["ab", "c"]
    )
    return model, samples.RowDataset(processor, samples.validation_rows(data), data)


def widths(model):
    """How many tokens the last feed-forward block has read, call by call."""
    seen, base = [], getattr(model, "get_base_model", lambda: model)()
    count = lambda _, args: seen.append(args[0].numel() // args[0].shape[-1])  # noqa: E731
    base.get_decoder().layers[-1].mlp.down_proj.register_forward_pre_hook(count)
    return seen


def outcome(model, dataset):
    batch = dataset.collate([dataset[0], dataset[1]], model)
    labels = batch.pop("labels")
    n_asked, n_tokens = int(batch["logits_to_keep"].sum()), labels.numel()
    outputs = model(**batch, use_cache=False)
    loss = shared_image.labelled_loss(outputs, labels)
    model.zero_grad()
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), outputs.logits.detach(), gradients, n_asked, n_tokens


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_logits_loss_and_every_gradient_are_those_of_the_whole_layer(folder, method, shared):
    results, read = [], []
    for asked_only in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            model, dataset = prepared(patch, folder, asked_only, method)
        dataset.shared, seen = shared, widths(model)
        results.append(outcome(model, dataset))
        read.append(seen[0])
    (loss, logits, gradients, n_asked, n_tokens), (whole_loss, whole_logits, whole_gradients, *_) = results
    assert read == [n_asked, n_tokens]
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    torch.testing.assert_close(logits, whole_logits)
    assert set(gradients) == set(whole_gradients)
    for name, gradient in whole_gradients.items():
        assert (gradients[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-7, name


def test_a_call_without_a_mask_of_tokens_computes_all_of_them(monkeypatch):
    """Also after a call with one: nothing of it is left."""
    model, dataset = prepared(monkeypatch, str(tiny_base.FOLDER), True)
    outcome(model, dataset)
    seen, ids = widths(model), torch.arange(10, 17)[None]
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        last = model(input_ids=ids, logits_to_keep=1).logits
        masked = model(input_ids=ids, logits_to_keep=(torch.arange(7) > 4)[None]).logits
    assert seen == [7, 7, 2]
    torch.testing.assert_close(last, whole[:, -1:])
    torch.testing.assert_close(masked, whole[0, 5:])


def test_gradient_checkpointing_computes_the_same(monkeypatch):
    results = []
    for checkpointing in (False, True):
        model, dataset = prepared(monkeypatch, str(tiny_base.FOLDER), True)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        results.append(outcome(model.train(), dataset))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for name, gradient in results[0][2].items():
        torch.testing.assert_close(results[1][2][name], gradient, msg=name)


def test_layers_of_another_kind_are_left_alone():
    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2)])

        def get_decoder(self):
            return self

    model = Decoder()
    assert not last_layer.use(model)
    assert not model._forward_pre_hooks
