"""Features of a frozen encoder, computed once: the numbers of computing them in every step, but for their rounding."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.frozen_features import FeatureFile, FrozenPart
from cocasearch.training.run_folder.progress import TrainingProgress

FIXED = {"fixed_views": 2, "precision": "float32", "dropout": 0.0}
WHOLE = {"frozen_epochs": float("inf"), "frozen_blocks": 0}
PART = {"frozen_epochs": 1.0, "frozen_blocks": 2}


@pytest.fixture
def losses(runs, tmp_path: Path) -> Callable[..., list[tuple[float, float, float]]]:
    """losses(name, **settings): contrastive, captioning and name loss of every step of a run with class names."""

    def of(name: str, **settings: object) -> list[tuple[float, float, float]]:
        steps: list[TrainingProgress] = []
        config = runs.plain(tmp_path / "none").config.changed(**{**FIXED, **settings})
        runs.trainer(tmp_path / name, config=config, progress=steps.append, held_out=0, names=True).run()
        return [(step.losses["contrastive"], step.losses["caption"], step.losses["name"]) for step in steps]

    return of


@pytest.mark.parametrize("frozen", [WHOLE, PART], ids=["all of the encoder", "its first blocks"])
def test_cached_features_train_as_computed_ones_do(losses, frozen: dict[str, float]) -> None:
    cached = torch.tensor(losses("cached", cache_features=True, **frozen))
    computed = torch.tensor(losses("computed", **frozen))
    assert len(cached) >= 4 and cached.min() > 0
    torch.testing.assert_close(cached, computed, rtol=5e-3, atol=1e-3)
    other = torch.tensor(losses("other", **{**frozen, "fixed_views": 3}))
    assert not torch.allclose(other, computed, rtol=5e-3, atol=1e-3)


def test_a_picture_has_so_many_views_and_no_more(runs) -> None:
    data = runs.trainer(Path("none"), held_out=0, names=True).data
    config = TrainingConfig().changed(batch_size=6, labelled_per_step=2, fixed_views=2)
    seen: dict[str, set[bytes]] = {}
    for step in range(30):
        for view in data._plan(config, step).views:
            seen.setdefault(view.picture.key, set()).add(data.views.read(config, view).numpy().tobytes())
    assert {len(views) for views in seen.values()} <= {1, 2} and len(seen) == len(data.views)
    keys = data.views.fixed_keys(config)
    assert len(set(keys)) == 2 * len(data.views)
    batches = list(data.views.read_fixed(config, range(len(keys)), 5))
    views = dict(zip(itertools.chain(*(b[0] for b in batches)), itertools.chain(*(b[1] for b in batches)), strict=True))
    assert list(views) == list(range(len(keys)))
    assert set().union(*seen.values()) <= {view.numpy().tobytes() for view in views.values()}


def test_the_file_goes_with_the_run_unless_it_has_a_place_of_its_own(losses, tmp_path: Path) -> None:
    losses("gone", cache_features=True, **WHOLE)
    assert not list((tmp_path / "gone.run").glob("features/*"))
    losses("kept", cache_features=True, feature_folder=str(tmp_path / "features"), **WHOLE)
    assert next((tmp_path / "features").glob("*/features.f16")).stat().st_size > 0
    assert str(tmp_path) not in (tmp_path / "kept" / "config.json").read_text(encoding="utf-8")


def test_two_runs_may_share_a_folder_and_neither_spoils_what_the_other_reads(runs, tmp_path: Path) -> None:
    def trainer(name: str, **augmentation: float):
        plain = runs.plain(tmp_path / "none").config
        kept = {"cache_features": True, "feature_folder": str(tmp_path / "features")}
        config = plain.changed(**{**FIXED, **WHOLE, **kept, **augmentation})
        return runs.trainer(tmp_path / name, config=config, held_out=0, names=False)

    first, second = trainer("first"), trainer("second")
    first._features.make_ready(first.processes, first.stage)
    view = first.data._plan(first.config, 0).views[0]
    before = first.data.views.read(first.config, view).clone()
    other = trainer("other", min_area=0.3)  # its features are of another kind
    other._features.make_ready(other.processes, other.stage)
    assert torch.equal(first.data.views.read(first.config, view), before)

    def refused(_what: str, _done: int, _total: int) -> None:
        with pytest.raises(CocaSearchError, match=r"the feature folder at .* is being written by process"):
            second._features.make_ready(second.processes, second.stage)

    shutil.rmtree(tmp_path / "features")
    first._features.make_ready(first.processes, refused)  # made anew, as for a run that is taken up again
    assert torch.equal(first.data.views.read(first.config, view), before)
    (rows,) = (tmp_path / "features").glob("*/features.f16")
    with rows.open("ab") as cut_short:
        cut_short.write(b"a row that the other run has begun")
    size = rows.stat().st_size
    second._features._file.open()
    assert rows.stat().st_size == size


def test_what_is_there_is_not_computed_again(runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    features_of = FrozenPart.features

    def counted(part: FrozenPart, pixels: torch.Tensor) -> torch.Tensor:
        computed.append(len(pixels))
        return features_of(part, pixels)

    def run(views: int, stop: bool = False, **augmentation: float) -> int:
        computed.clear()
        plain = runs.plain(tmp_path / "none").config
        kept = {"cache_features": True, "feature_folder": str(tmp_path / "features")}
        config = plain.changed(**{**FIXED, **WHOLE, **kept, **augmentation, "fixed_views": views})

        def stage(_what: str, done: int, _total: int) -> None:
            if stop and done:
                raise KeyboardInterrupt

        trainer = runs.trainer(tmp_path / f"{len(list(tmp_path.iterdir()))}", config=config, held_out=0, names=True)
        trainer.stage = stage
        trainer.run()
        return len(trainer.data.views)

    monkeypatch.setattr("cocasearch.training.data.cached_features._PICTURES_AT_ONCE", 4)
    monkeypatch.setattr(FrozenPart, "features", counted)
    with pytest.raises(KeyboardInterrupt):
        run(1, stop=True)
    assert sum(computed) == 4
    (file,) = (tmp_path / "features").glob("*/features.f16")
    with file.open("ab") as rows:
        rows.write(b"a row that a kill cut short")
    pictures = run(1)
    assert sum(computed) == pictures - 4
    whole = file.read_bytes()
    assert run(2) == sum(computed)  # the second view of each
    assert file.read_bytes()[: len(whole)] == whole
    run(1)
    assert not computed
    run(1, min_area=0.3)
    assert sum(computed) == pictures


def test_unreadable_pictures_are_left_out_and_named(runs, tmp_path: Path, drawings: list[CaptionedImage]) -> None:
    config = runs.plain(tmp_path / "none").config.changed(**{**FIXED, **WHOLE}, cache_features=True)
    images = [*drawings, CaptionedImage(b"no picture", "broken.png", ("a red square.",))]
    result = runs.trainer(tmp_path / "model", config=config, images=images, held_out=0, names=False).run()
    assert list(result.unreadable) == ["broken.png"]


def test_what_could_not_be_read_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    def fill(view: torch.Tensor | str) -> torch.Tensor | str:
        file = FeatureFile(tmp_path / "features", {"kind": "any"})
        views = {7: torch.ones(3), 8: view}
        file.fill(
            [7, 8],
            lambda missing: [(missing, [list(views.values())[n] for n in missing])] if missing else [],
            lambda pixels: pixels.half(),
            lambda _done, _total: None,
        )
        file.open()
        assert torch.equal(file.row(7), torch.ones(3).half())
        return file.row(8)

    assert fill("took too long") == "took too long"
    assert torch.equal(fill(torch.zeros(3)), torch.zeros(3).half())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"fixed_views": 0, **WHOLE}, "fixed_views"),
        ({"frozen_epochs": 0.0, "frozen_blocks": 0}, "never changes"),
        ({**WHOLE, "force_patch_dropout": 0.5}, "goes without force_patch_dropout"),
        ({**WHOLE, "distill_from": "coca-mini"}, "coca-mini needs pixels"),
    ],
)
def test_what_cannot_be_cached_is_refused(runs, tmp_path: Path, settings: dict[str, object], reason: str) -> None:
    with pytest.raises(CocaSearchError, match=reason):
        config = runs.plain(tmp_path / "none").config.changed(**{**FIXED, **settings}, cache_features=True)
        runs.trainer(tmp_path / "model", config=config, held_out=0, names=False)


def test_a_model_that_was_saved_in_between_has_the_same_features(runs, new_start, tmp_path: Path) -> None:
    config = runs.plain(tmp_path / "none").config.changed(**{**FIXED, **PART}, cache_features=True)
    start = new_start()
    with torch.no_grad():
        start.model.image_encoder.stem.bias.copy_(torch.linspace(-0.1, 0.1, len(start.model.image_encoder.stem.bias)))
        start.model.image_encoder.stem.bias[0] = -0.0
    save_model_folder(
        tmp_path / "saved",
        {name: value + 0.0 for name, value in start.model.state_dict().items()},
        config=start.model.config,
        preprocess=start.preprocess,
        tokenizer=start.tokenizer,
        provenance={},
    )
    saved = read_model_folder(tmp_path / "saved").load_model()
    digest = FrozenPart(start.model.image_encoder, config, torch.bfloat16).digest
    assert FrozenPart(saved.image_encoder, config, torch.bfloat16).digest == digest
    assert FrozenPart(saved.image_encoder, config).digest != digest
    with torch.no_grad():
        saved.image_encoder.stem.bias[1] += 0.1
    assert FrozenPart(saved.image_encoder, config, torch.bfloat16).digest != digest
