"""Options of training commands for the recipes that are asked for most; `--set` reaches every other setting."""

import dataclasses
from typing import Annotated, Any, Literal

import typer

from cocasearch.training.config import TrainingConfig

Lora = Annotated[
    int | None,
    typer.Option(
        "--lora", min=1, metavar="RANK", help="Train adapters of this rank, not the weights.", show_default=False
    ),
]
Distill = Annotated[
    str | None,
    typer.Option("--distill", metavar="NAME|FOLDER", help="Learn from this model as well.", show_default=False),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "pure_bfloat16", "float16"] | None,
    typer.Option(help="What a step computes in.", show_default="bfloat16 where that is faster"),
]


def with_recipe(config: TrainingConfig, lora: int | None, distill: str | None, precision: str | None) -> TrainingConfig:
    """The configuration with what was asked for."""
    asked: dict[str, Any] = {"lora_rank": lora, "distill_from": distill, "precision": precision}
    return dataclasses.replace(config, **{name: value for name, value in asked.items() if value is not None})
