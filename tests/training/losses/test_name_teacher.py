"""A teacher of names sees what its encoder saw before training, whatever the student becomes."""

import pytest
import torch
from torch import Tensor

from cocasearch.training.losses.name_teacher import NameTeacher


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_teacher_stays_when_the_student_moves(new_start, class_names, pixels) -> None:
    start = new_start()
    teacher = NameTeacher(start.model, start.classifier, class_names)
    before = teacher.probabilities(pixels, None)
    torch.testing.assert_close(before.sum(dim=1), torch.ones(6))
    with torch.no_grad():
        start.model.image_encoder.head.bias += 1
    assert torch.equal(teacher.probabilities(pixels, None), before)
    assert not torch.allclose(teacher.probabilities(pixels, start.model.image_encoder(pixels)), before)


def test_a_teacher_with_weights_of_its_own_borrows_nothing(new_start, class_names, pixels) -> None:
    start = new_start()
    published = new_start().model.image_encoder.state_dict()
    with torch.no_grad():
        start.model.image_encoder.head.bias += 1  # the student was trained before
    teacher = NameTeacher(start.model, start.classifier, class_names, weights=published)
    lent = teacher.probabilities(pixels, start.model.image_encoder(pixels))
    original = NameTeacher(new_start().model, start.classifier, class_names)
    assert torch.equal(lent, original.probabilities(pixels, None))
