"""Memory or disk that run out in training: what is said, and that the run ends as it would have."""

import resource
import signal

import pytest
import torch
from test_checkpoints import run, weights
from test_tuning import settings

from jwvl_lib import checkpoints, recovery, train, train_log

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, lora_dropout=0.0)


class Exhausted:
    """Raises torch's error at one step, as long as two rows pass at once."""

    def __init__(self, at):
        self.at, self.n = at, 0

    def __call__(self, original):
        def compute(trainer, model, inputs, *arguments, **options):
            self.n += model.training
            if self.n == self.at and trainer.args.per_device_train_batch_size == 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
            return original(trainer, model, inputs, *arguments, **options)

        return compute


@pytest.mark.slow
@pytest.mark.parametrize("at_step", [1, 4])
def test_out_of_memory_goes_on_smaller_with_the_same_global_batch(undisturbed, tmp_path, monkeypatch, caplog, at_step):
    original = recovery.CheckpointingTrainer.compute_loss
    monkeypatch.setattr(recovery.CheckpointingTrainer, "compute_loss", Exhausted(at_step)(original))
    result = run(tmp_path, lora_dropout=0.0)
    assert "out of memory with 2 rows at once: goes on with 1, the global batch stays" in caplog.text
    whole = undisturbed[1].log
    assert result.log["step"].tolist() == whole["step"].tolist()
    assert result.log["samples_seen"].tolist() == whole["samples_seen"].tolist()
    assert result.log["loss"].dropna().tolist() == pytest.approx(whole["loss"].dropna().tolist(), rel=1e-4)
    for name, value in weights(undisturbed[0]).items():
        assert torch.allclose(weights(tmp_path)[name], value, atol=1e-3), name


@pytest.mark.slow
def test_out_of_memory_in_evaluation_parts_the_evaluation_alone(undisturbed, tmp_path, monkeypatch, caplog):
    original, at_once = recovery.CheckpointingTrainer.compute_loss, []

    def compute(trainer, model, inputs, *arguments, **options):
        at_once.append((trainer.args.per_device_train_batch_size, trainer.args.per_device_eval_batch_size))
        if not model.training and trainer.args.per_device_eval_batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return original(trainer, model, inputs, *arguments, **options)

    monkeypatch.setattr(recovery.CheckpointingTrainer, "compute_loss", compute)
    result = run(tmp_path, lora_dropout=0.0)
    assert set(at_once) == {(2, 8), (2, 4), (2, 2)}
    assert "out of memory in evaluation with 8 rows at once: goes on with 4" in caplog.text
    assert "the global batch stays" not in caplog.text
    assert result.log["step"].tolist() == undisturbed[1].log["step"].tolist()
    assert all(torch.equal(value, weights(tmp_path)[name]) for name, value in weights(undisturbed[0]).items())


def test_what_does_not_fit_in_one_row_says_what_to_change(tmp_path):
    """Advice that can be followed: one row is not parted further, and a smaller training batch helps no evaluation."""
    error = torch.OutOfMemoryError("CUDA out of memory.\nTried")
    alone = settings(tmp_path, per_device_train_batch_size=1, per_device_eval_batch_size=8)
    with pytest.raises(MemoryError, match="in training with 1 row.s. at once .*: set gradient_checkpointing: true"):
        recovery.smaller(alone, error)
    for n_left in (4, 2, 1):
        alone = recovery.smaller(alone, error, evaluating=True)
        assert (alone.per_device_train_batch_size, alone.per_device_eval_batch_size) == (1, n_left)
    with pytest.raises(MemoryError, match="in evaluation with 1 row.s. at once .*: set n_validation_images") as told:
        recovery.smaller(alone, error, evaluating=True)
    assert "images_at_once" not in str(told.value)
    assert "\n" not in str(told.value)
    parted = recovery.smaller(settings(tmp_path, per_device_train_batch_size=6), error)
    assert (parted.per_device_train_batch_size, parted.gradient_accumulation_steps) == (3, 2)
    assert recovery.is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not recovery.is_out_of_memory(RuntimeError("shape mismatch"))


@pytest.mark.slow
def test_a_disk_that_is_full_at_a_checkpoint_costs_that_checkpoint_alone(undisturbed, tmp_path, monkeypatch, caplog):
    """The kernel itself refuses the write: files may grow to 2 kB only while the second checkpoint is written."""
    seen, original = [], recovery.CheckpointingTrainer._save_checkpoint

    def full_at_the_second(trainer, *arguments):
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        if trainer.state.global_step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
        try:
            original(trainer, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        seen.append(sorted(p.name for p in (tmp_path / "checkpoints").glob("checkpoint-*")))

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr(recovery.CheckpointingTrainer, "_save_checkpoint", full_at_the_second)
    try:
        run(tmp_path, lora_dropout=0.0)
    finally:
        signal.signal(signal.SIGXFSZ, before)
    assert seen == [["checkpoint-2"], ["checkpoint-2"], ["checkpoint-2", "checkpoint-6"]]
    (line,) = [r.getMessage() for r in caplog.records if "could not be written" in r.getMessage()]
    assert line.startswith("checkpoint-4 could not be written")
    assert "older checkpoint stays; free disk space under" in line
    assert "\n" not in line
    assert all(torch.equal(value, weights(tmp_path)[name]) for name, value in weights(undisturbed[0]).items())


def test_a_seal_that_cannot_be_written_takes_its_checkpoint_away(tmp_path, monkeypatch, caplog):
    class State:
        global_step, is_world_process_zero = 2, True

    def refuse(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "checkpoint-2").mkdir()
    monkeypatch.setattr(checkpoints, "seal", refuse)
    checkpoints.Sealing("k").on_save(settings(tmp_path), State, None)
    assert not (tmp_path / "checkpoint-2").exists()
    assert "No space left on device" in caplog.text


def test_early_stop_needs_patience():
    assert not train_log.stops_early([3, 2, 2.5, 2.4], 0)
    assert train_log.stops_early([3, 2, 2.5, 2.4], 2)
    assert not train_log.stops_early([3, 2, 2.5, 1.9], 2)
    assert not train_log.stops_early([3, 2], 2)


def test_a_batch_is_parted_over_processes_and_passes(monkeypatch):
    assert train.batch_sizes(8) == {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    assert train.batch_sizes(8, 2) == {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert train.batch_sizes(8, 2) == {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    with pytest.raises(ValueError, match="images_per_step 7: no multiple of 3 rows at once on 2"):
        train.batch_sizes(7)
    with pytest.raises(ValueError, match="images_per_step 1: no multiple"):
        train.batch_sizes(1)
