"""Moments are stored by the names of parameters, so that a run goes on however these are grouped then."""

import torch
from torch import nn

from cocasearch.training.step.sharding import divided_as, is_sharded, load_model, load_moments, stored_moments, whole


def trained(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    sum(parameter.square().sum() for parameter in model.parameters()).backward()
    optimizer.step()
    return optimizer


def test_moments_are_found_again_in_other_groups() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 3)
    stored = stored_moments(trained(model), model)
    other = torch.optim.AdamW([{"params": [model.bias], "lr": 0.5}, {"params": [model.weight], "lr": 0.2}])
    load_moments(other, model, stored)
    assert torch.equal(other.state[model.weight]["exp_avg"], stored["weight"]["exp_avg"])
    assert torch.equal(other.state[model.bias]["exp_avg_sq"], stored["bias"]["exp_avg_sq"])
    assert [group["lr"] for group in other.param_groups] == [0.5, 0.2]


def test_a_parameter_that_is_new_begins_without_moments() -> None:
    model = nn.Linear(2, 3)
    optimizer = trained(model)
    stored = stored_moments(optimizer, model)
    del stored["bias"]
    load_moments(optimizer, model, stored)
    assert set(optimizer.state) == {model.weight}


def test_what_is_not_divided_stays_as_it_is() -> None:
    model, value = nn.Linear(2, 3), torch.ones(3)
    assert not is_sharded(model)
    assert divided_as(value, model.bias) is value
    stored = {"a": [value, {"b": 3}], "c": "text"}
    assert whole(stored) == stored and whole(stored)["a"][0] is value


def test_whole_weights_are_loaded() -> None:
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    load_model(target, source.state_dict())
    assert torch.equal(source.weight, target.weight)
