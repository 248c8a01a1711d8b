"""A batch in parts is the whole batch once more, and what the parts find is put together in its order."""

import pytest
import torch
from torch import Tensor

from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.objective import Embeddings
from cocasearch.training.step.micro_batches import Part, detached, divide, divided, joined

OWNERS = torch.tensor([0, 0, 1, 2, 3, 3, 4])


def batch() -> TrainingBatch:
    return TrainingBatch(
        pixels=torch.arange(5.0)[:, None],
        ids=torch.arange(7)[:, None],
        owners=OWNERS,
        labelled_pixels=torch.arange(10.0, 13.0)[:, None],
        labels=torch.tensor([10, 11, 12]),
        labelled_ids=torch.tensor([[10], [11], [12]]),
        pictures=torch.arange(100, 105),
    )


def embeddings(image: Tensor, text: Tensor) -> Embeddings:
    return Embeddings(image, text, torch.full((2, 1), 7.0), torch.tensor(3.0), torch.tensor(1.0))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_picture_is_in_one_part_with_its_captions(count: int) -> None:
    parts = divide(batch(), count)
    assert torch.cat([part.pixels for part in parts]).flatten().tolist() == list(range(5))
    assert torch.cat([part.labels for part in parts]).tolist() == [10, 11, 12]
    sizes = [len(part.pixels) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    for part in parts:
        assert torch.equal(part.pixels[part.owners, 0].long(), OWNERS[part.ids[:, 0]])
        assert torch.equal(part.pictures, 100 + part.pixels[:, 0].long())
        assert torch.equal(part.labelled_pixels[:, 0].long(), part.labels)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_embeddings_come_together_and_their_gradients_apart(count: int) -> None:
    parts = [Part(part, None, None, None, seed=0) for part in divide(batch(), count)]
    found = [
        embeddings(torch.cat([part.batch.pixels, part.batch.labelled_pixels]), part.batch.ids.float()) for part in parts
    ]
    whole = joined(found, parts)
    assert whole.image.flatten().tolist() == [0, 1, 2, 3, 4, 10, 11, 12]  # captioned first
    assert whole.text.flatten().tolist() == list(range(7))
    back = divided(whole, parts)
    for one, own in zip(back, found, strict=True):
        assert torch.equal(one.image, own.image) and torch.equal(one.text, own.text)
    assert sum(float(one.logit_scale) for one in back) == 3
    assert sum(len(one.names) for one in back) == 2


def test_detached_embeddings_have_no_graph() -> None:
    image = torch.ones(1, 1, requires_grad=True)
    assert not detached(embeddings(image * 2, image)).image.requires_grad
