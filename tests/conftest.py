"""What many tests need: a tiny model in a folder and a folder of drawn photos."""

import os
import signal
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models are three times slower with more; children inherit it

import pytest
import tokenizers
import torch
from PIL import Image, ImageDraw

from cocasearch.checkpoints.model_folder import save_model_folder
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.model.config import (
    CoCaConfig,
    MultimodalConfig,
    PoolerConfig,
    RobertaConfig,
    TextConfig,
    VisionTransformerConfig,
)
from cocasearch.text.tokenizer import Tokenizer, train_tokenizer

# Whatever models the developer has, tests take coca-mini where they name none, and fetch nothing.
_EMPTY_HOME = tempfile.TemporaryDirectory(prefix="cocasearch-home-")
os.environ |= {"COCASEARCH_HOME": _EMPTY_HOME.name, "HF_HOME": _EMPTY_HOME.name, "HF_HUB_OFFLINE": "1"}
# Numbers are compared in float32 on every machine; what bfloat16 changes has tests of its own.
os.environ["COCASEARCH_DTYPE"] = "float32"
# A shell's background job is born deaf to Ctrl-C, and so would be the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

CAPTIONS = [
    "a red square on a white wall.",
    "a blue circle above the green grass.",
    "two yellow triangles and a black dog.",
    "a small boat on the blue sea.",
]
# Folders and files whose tests train nothing, index nothing and start no program: the tier of `make check`.
QUICK = (
    "captioned_data",
    "checkpoints/foreign/test_openclip_configs.py",
    "checkpoints/foreign/test_pickle_checks.py",
    "checkpoints/foreign/test_position_resizing.py",
    "checkpoints/test_disk_space.py",
    "cli/output/test_proof.py",
    "cli/output/test_text_tables.py",
    "evaluation",
    "images",
    "indexing/snapshot/test_faiss_file.py",
    "indexing/store/test_manifest.py",
    "indexing/store/test_where_clause.py",
    "indexing/exchange/test_row_files.py",
    "indexing/scan/test_roots.py",
    "indexing/scan/test_unmounted.py",
    "indexing/store/test_row_filters.py",
    "indexing/store/test_versions.py",
    "indexing/store/test_where_tokens.py",
    "indexing/store/test_where_values.py",
    "indexing/test_batch_halving.py",
    "inference/generation/test_beam_search.py",
    "inference/generation/test_caption_options.py",
    "inference/generation/test_sampling.py",
    "inference/generation/test_token_rules.py",
    "model",
    "search/test_fusion.py",
    "search/test_hits.py",
    "search/test_query_terms.py",
    "test_byte_range.py",
    "test_counting.py",
    "test_errors.py",
    "test_interruption.py",
    "test_layers.py",
    "test_paths.py",
    "test_public_api.py",
    "text",
    "training/losses/test_embedding_losses.py",
    "training/run_folder/test_reporters.py",
    "training/run_folder/test_run_log.py",
    "training/step/test_micro_batches.py",
    "training/step/test_sharding.py",
    "training/test_config.py",
    "training/test_idle_settings.py",
)
NOT_QUICK = ("captioned_data/test_object_store.py", "images/test_fuzzed.py", "model/test_learning.py")
assert all((Path(__file__).parent / name).exists() for name in (*QUICK, *NOT_QUICK)), "a name is that of no test"
EXIF_ORIENTATION, TURNED_RIGHT = 0x0112, 6


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the quick tier."""
    for item in items:
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        if place.startswith(QUICK) and place not in NOT_QUICK:
            item.add_marker("quick")


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Tokenizer:
    return train_tokenizer(CAPTIONS, vocab_size=320)


@pytest.fixture(scope="session")
def roberta_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `tokenizer.json` laid out as RoBERTa's, fitted to CAPTIONS; <mask> comes last."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=319,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CAPTIONS, trainer)
    backend.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True)])
    backend.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    file = tmp_path_factory.mktemp("roberta") / "tokenizer.json"
    backend.save(str(file))
    return file


@pytest.fixture(scope="session")
def tiny_config(tiny_tokenizer: Tokenizer) -> CoCaConfig:
    """A CoCa of two layers a side and width 32 for pictures of 32 pixels."""
    return CoCaConfig(
        embed_dim=16,
        image=VisionTransformerConfig(image_size=32, patch_size=8, layers=2, width=32, head_width=16),
        pooler=PoolerConfig(kind="single", queries=4, heads=2),
        text=TextConfig(context_length=20, vocab_size=tiny_tokenizer.vocab_size, width=32, heads=2, layers=2),
        multimodal=MultimodalConfig(layers=2, heads=2),
    )


@pytest.fixture(scope="session")
def tiny_coca(tiny_config: CoCaConfig) -> CoCa:
    """The same random weights in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return CoCa(tiny_config).eval()


@pytest.fixture(scope="session")
def tiny_model_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: CoCaConfig, tiny_coca: CoCa, tiny_tokenizer: Tokenizer
) -> Path:
    """A model folder of the tiny CoCa, as training writes them."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model_folder(
        folder,
        tiny_coca.state_dict(),
        config=tiny_config,
        preprocess=PreprocessConfig(image_size=32),
        tokenizer=tiny_tokenizer,
        provenance={"made_by": "tests"},
        dtype="float32",
    )
    return folder


@pytest.fixture(scope="session")
def roberta_model_folder(tmp_path_factory: pytest.TempPathFactory, roberta_tokenizer_file: Path) -> Path:
    """A model folder as `tiny_model_folder`, with a RoBERTa as the text half and its tokenizer."""
    tokenizer = Tokenizer.load(roberta_tokenizer_file)
    config = CoCaConfig(
        embed_dim=16,
        image=VisionTransformerConfig(image_size=32, patch_size=8, layers=2, width=32, head_width=16),
        pooler=PoolerConfig(kind="none"),
        text=RobertaConfig(
            context_length=20,
            vocab_size=tokenizer.vocab_size,
            width=32,
            heads=2,
            layers=2,
            mlp_width=80,
            positions=24,
        ),
        multimodal=MultimodalConfig(layers=2, heads=2),
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = CoCa(config)
    folder = tmp_path_factory.mktemp("models") / "roberta"
    save_model_folder(
        folder,
        model.state_dict(),
        config=config,
        preprocess=PreprocessConfig(image_size=32),
        tokenizer=tokenizer,
        provenance={"made_by": "tests"},
        dtype="float32",
    )
    return folder


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Six files: three shapes, one of them below a subfolder, one turned by EXIF, one truncated, one that is text.

    Beside them is an empty folder `indexes`.

    red-square.jpg  blue-circle.png  sub/yellow-triangle.jpg  turned.jpg  truncated.jpg  notes.txt
    """
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "indexes").mkdir()
    _drawing("red").save(folder / "red-square.jpg", quality=95)
    _drawing("blue").save(folder / "blue-circle.png")
    _drawing("yellow").save(folder / "sub" / "yellow-triangle.jpg")
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = TURNED_RIGHT
    _drawing("green").transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif)
    whole = (folder / "red-square.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture")
    return folder


def _drawing(colour: str) -> Image.Image:
    picture = Image.new("RGB", (96, 64), "white")
    pen = ImageDraw.Draw(picture)
    shape = {"red": pen.rectangle, "blue": pen.ellipse, "yellow": pen.regular_polygon, "green": pen.rectangle}[colour]
    area = ((40, 32, 20), 3) if colour == "yellow" else ((20, 12, 60, 52),)
    shape(*area, fill=colour)
    return picture
