"""A model whose vectors are so long that few photos fill a small disk."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cocasearch.checkpoints.model_folder import save_model_folder
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig
from cocasearch.text.tokenizer import Tokenizer

LONG = 16_384  # numbers per vector: a photo takes 64 kB in the table, and 48 in the snapshot


@pytest.fixture(scope="session")
def long_model_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: CoCaConfig, tiny_tokenizer: Tokenizer
) -> Path:
    config = replace(tiny_config, embed_dim=LONG)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = CoCa(config)
    folder = tmp_path_factory.mktemp("models") / "long"
    save_model_folder(
        folder,
        model.state_dict(),
        config=config,
        preprocess=PreprocessConfig(image_size=32),
        tokenizer=tiny_tokenizer,
        provenance={},
        dtype="float32",
    )
    return folder
