"""What finetune says in the end about the share of the starting weights that is best kept."""

from pathlib import Path

import pytest

from cocasearch.cli.output.proof import suggestion
from cocasearch.evaluation.retrieval_metrics import Recall, RetrievalScores
from cocasearch.training.model.interpolation_curve import CurvePoint


def share(keep, new, *, is_gentle):
    """Both ways find as much of the new kind."""

    def scores(recall):
        return RetrievalScores(*[Recall({1: recall, 5: recall, 10: recall}, 1.0)] * 2)

    return CurvePoint(keep, scores(new), scores(0.5), is_gentle)


TELLING = [share(keep, 0.9 - keep, is_gentle=keep > 0) for keep in (0.0, 0.3, 0.6, 1.0)]


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (0.0, "; write it with: cocasearch models mix 'my model' --keep 0.3 --out 'my model-kept'"),
        (0.3, "; 'my model' is that"),
        (0.6, "; 'my model' keeps 0.6, so it takes training anew with --keep 0.3"),
    ],
)
def test_best_share_is_told_with_how_to_get_it_from_what_was_written(kept, said):
    sentence = suggestion(TELLING, kept, Path("my model"))
    assert sentence.startswith("--keep 0.3 finds most of the new kind among the shares that lose at most 3 points")
    assert sentence.endswith(said)


def test_no_share_is_suggested_if_all_forget_too_much():
    lossy = [share(0.0, 0.9, is_gentle=False), share(1.0, 0.1, is_gentle=True)]
    assert suggestion(lossy, 0.0, Path("mine")).startswith("every share loses more than 3 points")
