"""Self-critical training: captions drawn from the model itself, and how much better each is than its siblings.

Predicting people's words one by one teaches a model what is likely said, also where it cannot see it. Here it writes
whole captions, each is rewarded by what people wrote for the picture, and better ones become likelier than worse ones
(Rennie et al. 2017, arXiv 1612.00563; the other captions of a picture as the baseline of each: Luo 2020, arXiv
2003.09971). Receives the decoder's context; knows nothing about how gradients are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cocasearch.evaluation.caption_metrics import CiderD
from cocasearch.evaluation.hallucination import named_objects
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS
from cocasearch.inference.generation.decoding_strategies import SingleSearch
from cocasearch.inference.generation.sampling import PickAtRandom
from cocasearch.inference.generation.token_rules import TokenRules
from cocasearch.model.coca import CoCa
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.text.words import Words, words_of
from cocasearch.training.config import TrainingConfig

# Counts as a word in rewards: without it nothing keeps captions from breaking off after "a".
_END = "."


@dataclass(frozen=True)
class DrawnCaptions:
    """K captions of each of B pictures.

    Attributes:
        ids: (B * K, L), padded; those of a picture follow each other.
        owners: (B * K,) each caption's picture.
        advantages: (B * K,) by how much its reward is above the mean of the picture's other captions.
        rewards: (B * K,).
    """

    ids: Tensor
    owners: Tensor
    advantages: Tensor
    rewards: Tensor


class SelfCritic:
    """Draws captions and rewards them.

    Args:
        references: What people wrote for each picture of the run, by its number.
        tokenizer: The model's.
        config: How many captions are drawn, and what an invented object costs.
    """

    def __init__(self, references: Sequence[Sequence[str]], tokenizer: Tokenizer, config: TrainingConfig) -> None:
        self._texts = references
        self._references = [[_with_end(text) for text in texts] for texts in references]
        self._cider_d = CiderD(self._references)
        self._tokenizer, self._config = tokenizer, config

    @torch.no_grad()
    def draw(self, model: CoCa, context: Tensor, pictures: Tensor) -> DrawnCaptions:
        """Captions of pictures, by torch's own random numbers.

        Args:
            model: What writes them, with dropout off meanwhile.
            context: (B, N, D) image tokens for the multimodal decoder.
            pictures: (B,) their numbers.
        """
        count, was_training = self._config.losses.self_critical_samples, model.training
        model.eval()
        written = self._write(model, context.repeat_interleave(count, dim=0))
        model.train(was_training)
        texts = [self._tokenizer.decode(ids) for ids in written]
        numbers = pictures.repeat_interleave(count).tolist()
        rewards = torch.tensor([self.reward(text, number) for text, number in zip(texts, numbers, strict=True)])
        of_picture = rewards.view(-1, count)
        siblings = (of_picture.sum(1, keepdim=True) - of_picture) / (count - 1)
        ids = pad_sequence([torch.tensor(row) for row in written], True, padding_value=self._tokenizer.pad_id)
        owners = torch.arange(len(context)).repeat_interleave(count)
        advantages = (of_picture - siblings).flatten()
        return DrawnCaptions(*(x.to(context.device) for x in (ids, owners, advantages, rewards)))

    def reward(self, text: str, picture: int) -> float:
        """What a caption of a picture is worth: its CIDEr-D, less the price of every object word that nobody used."""
        worth = self._cider_d(_with_end(text), self._references[picture])
        if self._config.losses.invention_price:
            (objects,) = named_objects([text], [self._texts[picture]])
            worth -= self._config.losses.invention_price * objects.invented
        return worth

    def _write(self, model: CoCa, context: Tensor) -> list[tuple[int, ...]]:
        tokenizer = self._tokenizer
        rules = TokenRules(
            sot_id=tokenizer.sot_id,
            eot_id=tokenizer.eot_id,
            pad_id=tokenizer.pad_id,
            min_length=DEFAULT_OPTIONS.min_length,
            max_length=min(DEFAULT_OPTIONS.max_length, model.config.text.context_length),
        )
        prompt = torch.full((len(context), 1), tokenizer.sot_id, device=context.device)
        noise = torch.rand(len(context), rules.max_length, device=context.device)
        search = SingleSearch(prompt, rules, PickAtRandom(rules, noise))
        kind = context.device.type
        is_narrow, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        # What autocast keeps of weights here would have no gradients in the pass that follows.
        with torch.autocast(kind, dtype, enabled=is_narrow, cache_enabled=False):
            logits, cache = model.prefill(context, prompt)
            while (step := search.advance(logits)) is not None:
                if step.rows is not None:
                    cache.select(step.rows, step.images)
                logits = model.decode_step(step.ids, cache)
        return [ended[0].ids for ended in search.results()]


def _with_end(text: str) -> Words:
    return (*words_of(text), _END)
