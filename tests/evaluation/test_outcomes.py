"""Figures are sums of what each image gains and could gain, so that they are right for any choice of images."""

import numpy as np
import pytest

from cocasearch.evaluation.outcomes import Shares, caption_figures, retrieval_figures


def test_a_text_that_is_right_for_two_images_counts_once_in_all() -> None:
    pairs = np.array([[0, 0], [1, 0], [1, 1]])
    figures = retrieval_figures(np.array([1, 7]), np.array([1, 6]), pairs)
    of_texts = figures["text to image recall@1"]
    assert (of_texts.gained.tolist(), of_texts.possible.tolist()) == ([0.5, 0.5], [0.5, 1.5])
    assert of_texts.value == 0.5
    assert figures["text to image recall@10"].value == 1
    assert [figures[f"image to text recall@{k}"].value for k in (1, 5, 10)] == [0.5, 0.5, 1]


def test_captions_are_judged_image_by_image() -> None:
    captions = ["A dog on the grass.", "a boat on the sea", "a cat"]
    references = [["a dog on the grass"], ["a boat floats on the sea"], ["two men in a car"]]
    figures = caption_figures(captions, references)
    assert figures["caption word for word"].gained.tolist() == [1, 0, 0]
    assert figures["caption right"].gained.tolist() == [1, 1, 0]
    rouge = figures["caption ROUGE-L"].gained
    assert rouge[0] == pytest.approx(1) and rouge[0] > rouge[1] > rouge[2]


def test_a_figure_is_the_ratio_of_its_sums() -> None:
    assert Shares(np.array([1.0, 0.5]), np.array([1.0, 2.0])).value == 0.5
