"""What finetune says in the end about the share of the starting weights that is best kept."""

from pathlib import Path

import pytest

from cocasearch.cli.proof import suggestion
from cocasearch.evaluation.retrieval_metrics import Recall, RetrievalScores
from cocasearch.training.kept_shares import KeptShare


def share(keep, new, old):
    """Both ways find as much: `new` of the new kind, `old` of the old one."""

    def scores(recall):
        return RetrievalScores(*[Recall({1: recall, 5: recall, 10: recall}, 1.0)] * 2)

    return KeptShare(keep, scores(new), None if old is None else scores(old))


TELLING = [share(0.0, 0.9, 0.2), share(0.3, 0.8, 0.49), share(0.6, 0.7, 0.5), share(1.0, 0.1, 0.5)]


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


def test_nothing_is_suggested_that_no_figure_shows():
    assert suggestion([share(0.0, 0.9, None), share(1.0, 0.1, None)], 0.0, Path("mine")) == ""
    assert suggestion(TELLING, 1.0, Path("mine")) == ""  # it is what it started from
    lossy = [share(0.0, 0.9, 0.2), share(1.0, 0.1, 0.5)]
    assert suggestion(lossy, 0.0, Path("mine")).startswith("every share loses more than 3 points")
