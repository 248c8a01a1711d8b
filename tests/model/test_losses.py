"""The losses on numbers that can be checked by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.model.losses import (
    caption_loss,
    contrastive_loss,
    distribution_divergence,
    grouped_contrastive_loss,
    name_loss,
    sentence_targets,
    sigmoid_contrastive_loss,
    similarity_distillation_loss,
)


def unit(rows: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


SCALE = torch.tensor(14.0)


def test_contrastive_loss_of_perfect_and_of_equal_pairs() -> None:
    images = torch.eye(4)
    assert contrastive_loss(images, images, torch.tensor(100.0)) < 1e-6
    same = images[:1].expand(4, -1)
    assert contrastive_loss(same, same, SCALE).item() == pytest.approx(math.log(4))


def test_contrastive_loss_is_symmetric() -> None:
    image, text = unit(5, 0), unit(5, 1)
    torch.testing.assert_close(contrastive_loss(image, text, SCALE), contrastive_loss(text, image, SCALE))


def test_one_text_each_is_the_plain_contrastive_loss() -> None:
    image, text = unit(5, 0), unit(5, 1)
    expected = contrastive_loss(image, text, SCALE)
    torch.testing.assert_close(grouped_contrastive_loss(image, text, torch.arange(5), SCALE), expected)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(grouped_contrastive_loss(image, text[order], order, SCALE), expected)


def test_several_texts_share_their_image() -> None:
    images = torch.eye(3)
    owners = torch.tensor([0, 0, 1, 2, 2, 2])
    loss = grouped_contrastive_loss(images, images[owners], owners, torch.tensor(100.0))
    # Texts find their image; an image can do no better than to spread itself over its own texts.
    assert loss.item() == pytest.approx((math.log(2) + math.log(1) + math.log(3)) / 3 / 2, abs=1e-5)


def test_targets_are_shared_by_what_sentences_mean() -> None:
    # Two texts of the first image, one of the second; the second text means what the third does.
    sentences = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    owners = torch.tensor([0, 0, 1])
    found = sentence_targets(sentences, owners, weight=0.4, temperature=0.5)
    # The first image means (1/2, 1/2), the second (0, 1): similarities to the texts, divided by the temperature.
    first, second = [math.exp(1)] * 3, [1.0, math.exp(2), math.exp(2)]
    shares = [[value / sum(row) for value in row] for row in (first, second)]
    of_texts = [[row[text] / (first[text] + second[text]) for row in (first, second)] for text in range(3)]
    expected_image = torch.tensor(
        [
            [0.6 / 2 + 0.4 * shares[0][0], 0.6 / 2 + 0.4 * shares[0][1], 0.4 * shares[0][2]],
            [0.4 * shares[1][0], 0.4 * shares[1][1], 0.6 + 0.4 * shares[1][2]],
        ]
    )
    own = [[0.6, 0.0], [0.6, 0.0], [0.0, 0.6]]
    expected_text = torch.tensor(
        [[a + 0.4 * b for a, b in zip(*rows, strict=True)] for rows in zip(own, of_texts, strict=True)]
    )
    torch.testing.assert_close(found.image, expected_image)
    torch.testing.assert_close(found.text, expected_text)
    torch.testing.assert_close(found.image.sum(dim=1), torch.ones(2))


def test_a_loss_with_soft_targets_is_the_cross_entropy_with_them() -> None:
    image, text, owners = unit(3, 0), unit(5, 1), torch.tensor([0, 0, 1, 2, 2])
    soft = sentence_targets(unit(5, 2), owners, weight=0.4, temperature=0.3)
    logits = SCALE * image @ text.T
    by_hand = -(soft.image * logits.log_softmax(dim=1)).sum() / 3 - (soft.text * logits.T.log_softmax(dim=1)).sum() / 5
    torch.testing.assert_close(grouped_contrastive_loss(image, text, owners, SCALE, soft), by_hand / 2)


def test_soft_targets_of_no_weight_are_the_plain_ones() -> None:
    image, text, owners = unit(3, 0), unit(5, 1), torch.tensor([2, 0, 1, 0, 2])
    soft = sentence_targets(unit(5, 2), owners, weight=0.0, temperature=0.3)
    plain = grouped_contrastive_loss(image, text, owners, SCALE)
    torch.testing.assert_close(grouped_contrastive_loss(image, text, owners, SCALE, soft), plain)


def test_without_soft_targets_the_loss_is_what_it_was_to_the_last_bit() -> None:
    image, text, owners = unit(3, 0), unit(5, 1), torch.tensor([2, 0, 1, 0, 2])
    is_own = owners[None, :] == torch.arange(3)[:, None]
    share = is_own / is_own.sum(dim=1, keepdim=True)
    of_images = -(share * (SCALE * image @ text.T).log_softmax(dim=1)).sum(dim=1)
    of_texts = F.cross_entropy(SCALE * text @ image.T, owners, reduction="none")
    assert torch.equal(grouped_contrastive_loss(image, text, owners, SCALE), (of_images.mean() + of_texts.mean()) / 2)


def test_caption_loss_predicts_the_next_id_and_ignores_padding() -> None:
    ids = torch.tensor([[9, 4, 5, 8, 0, 0], [9, 3, 8, 0, 0, 0]])
    logits = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0))
    targets = [(0, 0, 4), (0, 1, 5), (0, 2, 8), (1, 0, 3), (1, 1, 8)]
    probabilities = logits.log_softmax(dim=-1)
    expected = -sum(probabilities[place] for place in targets) / len(targets)
    torch.testing.assert_close(caption_loss(logits, ids), torch.as_tensor(expected))
    at_padding = logits.clone()
    at_padding[0, 3:] += torch.arange(10.0)
    at_padding[1, 2:] -= torch.arange(10.0)
    torch.testing.assert_close(caption_loss(at_padding, ids), caption_loss(logits, ids))


def test_label_smoothing_keeps_a_sure_prediction_from_being_free() -> None:
    ids = torch.tensor([[9, 4, 8, 0]])
    logits = 50.0 * F.one_hot(torch.tensor([[4, 8, 0, 0]]), 10)
    assert caption_loss(logits, ids) < 1e-6
    assert caption_loss(logits, ids, label_smoothing=0.1) > 1


def test_caption_loss_of_half_precision_logits_is_computed_in_float32() -> None:
    ids = torch.tensor([[9, 4, 8]])
    assert caption_loss(torch.zeros(1, 3, 10, dtype=torch.bfloat16), ids).dtype == torch.float32


def test_name_loss_is_zero_at_equality_and_positive_elsewhere() -> None:
    image, names = unit(4, 0), unit(6, 1)
    target = (SCALE * image @ names.T).softmax(dim=1)
    assert name_loss(image, names, target, SCALE).abs() < 1e-6
    assert name_loss(image, names, target.roll(1, dims=1), SCALE) > 0.1
    torch.testing.assert_close(
        name_loss(image, names, F.one_hot(torch.arange(4), 6).float(), SCALE),
        F.cross_entropy(SCALE * image @ names.T, torch.arange(4)),
    )


def test_sigmoid_loss_judges_each_pair_by_itself() -> None:
    image, text, scale, bias = unit(5, 0), unit(5, 1), torch.tensor(10.0), torch.tensor(-10.0)
    # OpenCLIP's formula (its loss.py, SigLipLoss): 1 on the diagonal, -1 elsewhere, per image
    labels = 2 * torch.eye(5) - 1
    expected = -F.logsigmoid(labels * (scale * image @ text.T + bias)).sum() / 5
    torch.testing.assert_close(sigmoid_contrastive_loss(image, text, torch.arange(5), scale, bias), expected)


def test_sigmoid_loss_by_hand() -> None:
    image, text = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    found = sigmoid_contrastive_loss(image, text, torch.arange(2), torch.tensor(10.0), torch.tensor(-10.0))
    # logits [[0, -4], [-10, -2]]: log 2 and log(1 + e^2) for the pairs, log(1 + e^-4) and log(1 + e^-10) for the rest
    assert found.item() == pytest.approx((0.693147 + 2.126928 + 0.018150 + 0.000045) / 2, abs=1e-5)


def test_sigmoid_loss_with_several_texts_of_an_image() -> None:
    image, text, scale, bias = unit(2, 0), unit(3, 1), torch.tensor(10.0), torch.tensor(-3.0)
    logits = scale * image @ text.T + bias
    own = logits[[0, 0, 1], [0, 1, 2]]
    others = logits[[1, 1, 0], [0, 1, 2]]
    expected = (F.softplus(-own).sum() + F.softplus(others).sum()) / 3
    owners = torch.tensor([0, 0, 1])
    torch.testing.assert_close(sigmoid_contrastive_loss(image, text, owners, scale, bias), expected)


def test_similarity_distillation_has_the_gradients_of_openclips() -> None:
    image, text = unit(5, 0).requires_grad_(), unit(5, 1).requires_grad_()
    teacher = unit(5, 2), unit(5, 3), torch.tensor(20.0)
    theirs = teacher[2] * teacher[0] @ teacher[1].T

    def openclips() -> Tensor:  # its DistillClipLoss: cross-entropies, summed over a row, averaged over rows and ways
        ours = SCALE * image @ text.T
        ways = [(theirs, ours), (theirs.T, ours.T)]
        return sum(-(t.softmax(dim=1) * o.log_softmax(dim=1)).sum(dim=1).mean() for t, o in ways) / 2

    found = similarity_distillation_loss(image, text, SCALE, *teacher)
    entropy = sum(-(t.softmax(dim=1) * t.log_softmax(dim=1)).sum(dim=1).mean() for t in (theirs, theirs.T)) / 2
    torch.testing.assert_close(found, openclips() - entropy)
    gradients = [torch.autograd.grad(loss, (image, text)) for loss in (found, openclips())]
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


def test_distillation_of_equals_is_zero() -> None:
    image, text = unit(4, 0), unit(6, 1)
    assert similarity_distillation_loss(image, text, SCALE, image, text, SCALE).abs() < 1e-6
    # A teacher's vectors may be of another length: only what it finds similar is learned.
    wider = F.pad(image, (0, 3)), F.pad(text, (0, 3))
    assert similarity_distillation_loss(image, text, SCALE, *wider, SCALE).abs() < 1e-6


def test_divergence_of_distributions_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]]).bfloat16()
    teacher = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    # KL((3/4, 1/4) || (1/2, 1/2)) and KL((1/2, 1/2) || (3/4, 1/4))
    expected = torch.tensor([0.130812, 0.143841])
    torch.testing.assert_close(distribution_divergence(logits, teacher), expected, atol=2e-3, rtol=0)
