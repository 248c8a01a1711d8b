"""A larger CoCa as the teacher of a smaller one: what it finds similar, and which token it expects next.

Receives batches as the student sees them; hands back what the teacher makes of them, never with gradients. The two may
differ in architecture, picture size and normalisation; only tokens are comparable where both use the same ones.
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.model.text_decoder import trim_padding
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.model.starting_point import StartingPoint

_SIMILARITIES_ALONE = "distill_caption_weight=0 learns its similarities alone"


class TeacherOutput(NamedTuple):
    """What the teacher makes of captioned pictures: unit rows, their scale, and decoder states of what to predict."""

    image: Tensor  # (B, E')
    text: Tensor  # (T, E')
    logit_scale: Tensor
    states: Tensor | None  # (n, D') for the n tokens that are predicted; None without captions


class DistillationTeacher:
    """The model in a folder, for students with a tokenizer and a preprocessing of their own.

    Args:
        folder: The teacher's.
        tokenizer: The student's.
        preprocess: The student's.
        with_captions: It teaches the next token as well.

    Raises:
        CocaSearchError: No such model; or one whose tokens are others than the student's, with captions.
    """

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, preprocess: PreprocessConfig, *, with_captions: bool
    ) -> None:
        stored = read_model_folder(folder)
        self.has_same_tokens = stored.tokenizer.to_json() == tokenizer.to_json()
        if with_captions and not self.has_same_tokens:
            raise CocaSearchError(
                f"{folder.name} has another tokenizer than the model that is trained, so its next tokens teach nothing",
                hint=_SIMILARITIES_ALONE,
            )
        self.fingerprint = stored.fingerprint
        self.model = stored.load_model(mapped=False).requires_grad_(False)
        self.with_captions = with_captions
        self._tokenizer, self._students = stored.tokenizer, tokenizer
        self._size = stored.preprocess.image_size
        self._from, self._to = preprocess, stored.preprocess

    @torch.no_grad()
    def output(self, batch: TrainingBatch) -> TeacherOutput:
        """The teacher's view of a batch's captioned pictures and their captions."""
        pixels, ids = self._own_pixels(batch.pixels), self._own_ids(batch.ids)
        image = self.model.image_features(pixels)
        text, token_states = self.model.text_features(ids)
        states = None
        if self.with_captions:
            decoded = self.model.multimodal_decoder(token_states, image.tokens, owners=batch.owners)[:, :-1]
            targets = ids[:, 1:]
            states = decoded[(targets != self._tokenizer.pad_id) & (targets < self.model.config.output_vocab_size)]
        return TeacherOutput(image.embedding, text, self.model.logit_scale.exp(), states)

    def _own_pixels(self, pixels: Tensor) -> Tensor:
        """The student's pixels (B, 3, S, S), in the size and as normalised as the teacher wants them."""
        mean, std, own_mean, own_std = (
            torch.tensor(values, device=pixels.device).view(3, 1, 1)
            for values in (self._from.mean, self._from.std, self._to.mean, self._to.std)
        )
        if pixels.shape[-1] != self._size:
            pixels = F.interpolate(pixels, (self._size, self._size), mode="bicubic", antialias=True)
        return (pixels * std + mean - own_mean) / own_std

    def _own_ids(self, ids: Tensor) -> Tensor:
        length = self.model.config.text.context_length
        if self.has_same_tokens and ids.shape[1] <= length:
            return ids
        texts = [self._students.decode(row) for row in ids.tolist()]
        return trim_padding(self._tokenizer(texts, length), self._tokenizer.pad_id).to(ids.device)


def read_teacher(config: TrainingConfig, start: StartingPoint, device: torch.device) -> DistillationTeacher | None:
    """The teacher that a config names for the model that a run starts from, on its device; None where it names none.

    Raises:
        CocaSearchError: It is not there, or cannot teach this student.
    """
    if not config.distillation.distill_from:
        return None
    with_captions = config.distillation.distill_caption_weight > 0 and config.losses.objective != "contrastive"
    folder = resolve_model(config.distillation.distill_from)
    teacher = DistillationTeacher(folder, start.tokenizer, start.preprocess, with_captions=with_captions)
    longest, context_length = (model.config.text.context_length for model in (teacher.model, start.model))
    if with_captions and longest < context_length:
        raise CocaSearchError(
            f"{folder.name} reads texts of {longest} ids, fewer than the {context_length} of the model that is trained",
            hint=f"force_context_length={longest}, or distill_caption_weight=0",
        )
    theirs, own = teacher.model.config.output_vocab_size, start.model.config.output_vocab_size
    if with_captions and theirs != own:
        raise CocaSearchError(
            f"{folder.name} writes {theirs} words, the model that is trained {own}, so its next tokens teach nothing",
            hint=_SIMILARITIES_ALONE,
        )
    teacher.model.to(device)
    return teacher
