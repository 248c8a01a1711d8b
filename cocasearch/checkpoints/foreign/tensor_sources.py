"""The ways in which one of our parameters is read from foreign weights, with which each layout's table is written."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """The source of one of our parameters: foreign keys, and what is done with their tensors.

    `foreign_shape` gives the shape that the first of these must have, from the shape of ours.
    """

    keys: tuple[str, ...]
    read: Callable[..., Tensor] = lambda value: value
    foreign_shape: Callable[[tuple[int, ...]], tuple[int, ...]] = lambda shape: shape

    def of_layer(self, number: str) -> "Source":
        return replace(self, keys=tuple(key.replace("*", number) for key in self.keys))


Table = dict[str, Source]
_LAYER = re.compile(r"\.(\d+)\.")


def source_of(table: Table, name: str) -> Source:
    """The source of a parameter in a table, in which `*` stands for a layer's number."""
    layer = _LAYER.search(name)
    return table[_LAYER.sub(".*.", name, count=1)].of_layer(layer[1]) if layer else table[name]


def whole(key: str) -> Source:
    """A tensor as it is."""
    return Source((key,))


def transposed(key: str) -> Source:
    """A matrix stored [in, out] and used as x @ W."""
    return Source((key,), lambda value: value.T, lambda shape: shape[::-1])


def stacked(*keys: str) -> Source:
    """Several tensors of equal shape, one below the other."""
    return Source(keys, lambda *values: torch.cat(values), lambda shape: (shape[0] // len(keys), *shape[1:]))


def query_rows(key: str) -> Source:
    """The first third of a joint projection to queries, keys and values."""
    return Source((key,), lambda value: value[: len(value) // 3], lambda shape: (shape[0] * 3, *shape[1:]))


def key_value_rows(key: str) -> Source:
    """The other two thirds of a joint projection to queries, keys and values."""
    return Source((key,), lambda value: value[len(value) // 3 :], lambda shape: (shape[0] // 2 * 3, *shape[1:]))


def affine(ours: str, theirs: str) -> Table:
    """A layer's weight and bias."""
    return {f"{ours}.{kind}": whole(f"{theirs}.{kind}") for kind in ("weight", "bias")}
