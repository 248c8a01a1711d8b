"""What every caption of a run means, as a sentence encoder has it: computed once, and kept while the run goes on.

Receives texts; hands back unit vectors. Knows nothing about pictures, nor what is made of the vectors.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cocasearch.atomic_files import replacing
from cocasearch.checkpoints.sentence_encoder import SentenceEncoder, sentence_encoder_folder
from cocasearch.errors import CocaSearchError
from cocasearch.inference.device import is_faster_in_bfloat16

SENTENCES_FILE = "sentences.safetensors"
_FORMAT = "all-MiniLM-L6-v2, 1"


class SentenceVectors:
    """Unit vectors by text.

    Args:
        texts: Each once.
        vectors: (N, D) one row for each.
    """

    def __init__(self, texts: Sequence[str], vectors: Tensor) -> None:
        self._rows = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors

    def rows(self, texts: Sequence[str]) -> Tensor:
        """The vectors (n, D) of some of the texts, in float32."""
        return self._vectors[[self._rows[text] for text in texts]].float()


def sentence_vectors(texts: Sequence[str], folder: Path, device: torch.device) -> Tensor:
    """The vectors (N, D) of the texts in float16, from the run's folder where an earlier start of the run left them.

    Args:
        texts: What to compute them of.
        folder: The run's, which is there.
        device: Where they are computed.

    Raises:
        CocaSearchError: The encoder is not installed, or the vectors cannot be written.
    """
    file, digest = folder / SENTENCES_FILE, _digest(texts)
    if (kept := _kept(file, digest)) is not None:
        return kept
    dtype = torch.bfloat16 if is_faster_in_bfloat16(device) else torch.float32
    vectors = SentenceEncoder(sentence_encoder_folder(), device, dtype).encode(texts).half()
    try:
        with replacing(file) as partial:
            save_file({"vectors": vectors}, partial, metadata={"of": digest})
    except (OSError, SafetensorError) as error:
        raise CocaSearchError(f"cannot write {file}: {error}", hint="--out NEW_FOLDER") from error
    return vectors


def forget_sentence_vectors(folder: Path) -> None:
    """Remove what `sentence_vectors` kept."""
    (folder / SENTENCES_FILE).unlink(missing_ok=True)


def _kept(file: Path, digest: str) -> Tensor | None:
    """The vectors in a file if they are of these texts; whatever is wrong with it, they can be computed again."""
    with suppress(OSError, SafetensorError), safe_open(file, framework="pt") as stored:
        if (stored.metadata() or {}).get("of") == digest:
            vectors: Tensor = stored.get_tensor("vectors")
            return vectors
    return None


def _digest(texts: Sequence[str]) -> str:
    return hashlib.blake2b(json.dumps([_FORMAT, *texts]).encode(), digest_size=16).hexdigest()
