"""The gradients of the embeddings are those of the plain loss, with its weight."""

import pytest
import torch
import torch.nn.functional as F

from cocasearch.model.losses import grouped_contrastive_loss, sigmoid_contrastive_loss
from cocasearch.training.config import TrainingConfig
from cocasearch.training.losses.embedding_losses import embedding_losses
from cocasearch.training.losses.objective import Embeddings
from cocasearch.training.step.processes import Processes

OWNERS = torch.tensor([0, 0, 1, 2])


def leaves() -> Embeddings:
    torch.manual_seed(0)
    image, text = (F.normalize(torch.randn(count, 6), dim=1) for count in (4, 4))
    tensors = image, text, torch.empty(0, 6), torch.tensor(5.0), torch.tensor(-1.0)
    return Embeddings(*(x.requires_grad_() for x in tensors))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_gradients_are_those_of_the_weighted_loss(kind: str) -> None:
    config = TrainingConfig().changed(contrastive_weight=3.0, contrastive_loss=kind)
    own = leaves()
    captioned = own.image[:3]  # the last is a labelled picture, which has no text
    if kind == "sigmoid":
        loss = sigmoid_contrastive_loss(captioned, own.text, OWNERS, own.logit_scale, own.logit_bias)
    else:
        loss = grouped_contrastive_loss(captioned, own.text, OWNERS, own.logit_scale)
    (3 * loss).backward()
    found = embedding_losses(leaves(), OWNERS, None, None, config, Processes())
    torch.testing.assert_close(found.values, {"contrastive": loss.detach()})
    for gradient, leaf in zip(found.gradients, own, strict=True):
        torch.testing.assert_close(gradient, torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
    assert not found.gradients.image[3].any()


def test_a_run_that_only_captions_compares_nothing() -> None:
    config = TrainingConfig().changed(objective="caption")
    found = embedding_losses(leaves(), OWNERS, None, None, config, Processes())
    assert found.values == {}
    assert not any(gradient.any() for gradient in found.gradients)
