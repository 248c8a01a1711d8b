"""What stops a run: told in one sentence, with nothing lost, and the same command goes on."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.failures import explained, is_out_of_memory
from cocasearch.training.trainer import Trainer

CONFIG = TrainingConfig().changed(batch_size=64)


def no_memory() -> Exception:
    """What PyTorch raises when the CPU's allocator gets nothing."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


def failing(trainer: Trainer, step: int, fail: Callable[[], None]) -> Trainer:
    """The trainer, whose forward pass fails at a step."""
    compute = trainer.learner.gradients.compute

    def spoiled(*arguments: object, **options: object) -> object:
        if trainer.learner.step == step:
            fail()
        return compute(*arguments, **options)

    trainer.learner.gradients.compute = spoiled  # type: ignore[method-assign]
    return trainer


def run_out() -> None:
    raise no_memory()


@pytest.mark.parametrize("error", [no_memory(), MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_no_memory_is_known_when_seen(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize(("config", "at_once", "smaller"), [({}, 64, 32), ({"micro_batch": 10}, 10, 5)])
def test_no_memory_says_what_fits_better(config: dict[str, int], at_once: int, smaller: int) -> None:
    told = explained(MemoryError(), CONFIG.changed(**config), step=7, kept=7, pictures=64)
    assert str(told) == f"{at_once} photos at once do not fit in memory; the 7 steps done are kept"
    assert f"--set micro_batch={smaller} " in str(told.hint)


def test_one_picture_that_does_not_fit_is_not_divided() -> None:
    told = explained(MemoryError(), CONFIG.changed(micro_batch=1), step=0, kept=0, pictures=64)
    assert "micro_batch" not in str(told.hint)


def test_what_is_told_well_already_is_left_alone() -> None:
    assert explained(CocaSearchError("no pictures"), CONFIG, step=0, kept=0, pictures=64) is None
    assert explained(ValueError("a mistake of ours"), CONFIG, step=0, kept=0, pictures=64) is None


def test_a_run_without_memory_goes_on_in_smaller_parts(runs, tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match="6 photos at once do not fit in memory; the 2 steps done are kept"):
        failing(runs.plain(tmp_path / "model", dropout=0.0), 2, run_out).run()
    again, whole = (runs.plain(tmp_path / name, dropout=0.0, **more) for name, more in PARTS.items())
    again.run()
    assert again.learner.step == 4
    whole.run()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=1e-2, atol=1e-3)


PARTS: dict[str, dict[str, int]] = {"model": {"micro_batch": 3}, "whole": {}}


def test_a_run_that_left_the_numbers_goes_on_at_a_lower_rate(runs, tmp_path: Path) -> None:
    broken = runs.plain(tmp_path / "model")
    scale = broken.model.logit_scale
    failing(broken, 2, lambda: scale.register_hook(lambda gradient: gradient * torch.nan))
    with pytest.raises(CocaSearchError, match="no longer a number at step 3; the 2 before it are kept") as caught:
        broken.run()
    assert "lower learning rate" in str(caught.value.hint)
    assert scale.isfinite()
    lower = runs.plain(tmp_path / "model", learning_rate=1e-5, muon_learning_rate=1e-5)
    lower._resume()
    assert lower.learner.step == 2
    assert {group["peak_lr"] for optimizer in lower.learner.optimizers for group in optimizer.param_groups} == {
        1e-5,
        1e-3,
    }
    with pytest.raises(CocaSearchError, match="other settings or data"):
        runs.plain(tmp_path / "model", dropout=0.3)._resume()


def test_sigterm_ends_a_run_as_ctrl_c_does(runs, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer = failing(runs.plain(tmp_path / "model"), 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert signal.getsignal(signal.SIGTERM) == before
    resumed, whole = runs.plain(tmp_path / "model"), runs.plain(tmp_path / "whole")
    resumed.run()
    whole.run()
    assert all(torch.equal(value, resumed.model.state_dict()[name]) for name, value in whole.model.state_dict().items())
    assert trainer.learner.step == 2


@pytest.mark.parametrize("changes", [{"micro_batch": 2}, {"accumulation": 3}, {"objective": "contrastive"}])
def test_a_divided_run_resumes_to_the_bit(runs, tmp_path: Path, changes: dict[str, object]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing(runs.plain(tmp_path / "model", **changes), 2, stop).run()
    resumed, whole = (runs.plain(tmp_path / name, **changes) for name in ("model", "whole"))
    resumed.run()
    whole.run()
    assert all(torch.equal(value, resumed.model.state_dict()[name]) for name, value in whole.model.state_dict().items())
