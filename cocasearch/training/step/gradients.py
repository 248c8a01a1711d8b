"""From a batch to gradients, whatever the memory and however many the processes.

A step that does not fit in memory is computed in micro-batches (gradient caching, arXiv 2101.06983): embeddings of all
of them without a graph, the losses that compare them on all at once, then each micro-batch again with the gradients
that its embeddings got. Captioning losses are sums over tokens, so they are exact in any division. Random numbers of a
micro-batch are the same both times.
"""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.embedding_losses import EmbeddingLosses, embedding_losses
from cocasearch.training.losses.objective import Embeddings, Forward, Objective
from cocasearch.training.step.micro_batches import Part, detached, divide, divided, joined, joined_judgement
from cocasearch.training.step.processes import Processes
from cocasearch.training.step.sharding import shard


@dataclass(frozen=True)
class StepLosses:
    """The losses of one step over all processes, each a scalar without a graph; what was not trained is zero."""

    total: Tensor
    contrastive: Tensor
    caption: Tensor
    name: Tensor
    distillation: Tensor  # of similarities and of next tokens together, as they are weighted
    reward: Tensor  # the mean over the captions that the model drew; no part of the total


@dataclass(frozen=True)
class _TokenWeights:
    """What one token's loss counts for in this process's gradients."""

    caption: float
    label_caption: float
    divergence: float
    self_critical: float  # a drawn caption's, not a token's
    reward: float

    @property
    def are_needed(self) -> bool:
        """Whether a token counts for anything."""
        return max(self.caption, self.label_caption, self.divergence, self.self_critical) > 0


class Gradients:
    """Computes the gradients of an objective's parameters, averaged over processes; adds them to what is there."""

    def __init__(
        self,
        objective: Objective,
        config: TrainingConfig,
        processes: Processes | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self._scaler = scaler or torch.amp.GradScaler(enabled=False)
        self.objective = objective
        self.config = config
        self.processes = processes or Processes()
        self._forward: torch.nn.Module = objective
        self._sharded: FSDPModule | None = None
        if self.processes.count > 1 and config.sharding == "full":
            self._sharded = shard(objective, self.processes.count)
        elif self.processes.count > 1:
            # Which parameters are used changes when the encoder is unfrozen.
            self._forward = DistributedDataParallel(
                objective, find_unused_parameters=True, gradient_as_bucket_view=True
            )

    def compute(
        self,
        batch: TrainingBatch,
        *,
        encoder_is_frozen: bool,
        chance: random.Random,
        seed: int = 0,
        caption_share: float = 1.0,
    ) -> StepLosses:
        """Leave the gradients of a batch in the parameters.

        Args:
            batch: This process's share of the step.
            encoder_is_frozen: The image encoder gets no gradients.
            chance: Draws the class names.
            seed: Of dropout; a process and a micro-batch each get one of their own.
            caption_share: Of the captioning losses' weights in this step; at 0 they cost nothing.
        """
        parts, targets = self._parts(batch, encoder_is_frozen, chance, seed)
        weights = self._token_weights(batch, caption_share)
        compared = None
        if len(parts) == 1:
            output = self._run(parts[0], captions=weights.are_needed)
            if output.embeddings is not None:
                compared = self._compared([detached(output.embeddings)], parts, batch, targets)
            captions = [self._go_back(output, compared.gradients if compared else None, weights)]
        else:
            if self.objective.has_embeddings:
                compared = self._compare(parts, batch, targets)
            captions = self._repeat(parts, compared, weights)
        if self._sharded is not None and (scale := self.objective.model.logit_scale.grad) is not None:
            scale.copy_(self.processes.sum(scale) / self.processes.count)  # it is not among what is divided
        return self._losses(compared, torch.stack(captions).sum(dim=0), caption_share)

    def _parts(
        self, batch: TrainingBatch, encoder_is_frozen: bool, chance: random.Random, seed: int
    ) -> tuple[list[Part], Tensor | None]:
        batches = divide(batch, self.config.parts(len(batch.pixels)))
        n_idle = self._n_idle(len(batches))
        tokens: list[Tensor] | list[None] = [None] * len(batches)
        if encoder_is_frozen:
            torch.manual_seed(seed)  # of patch dropout
            with torch.no_grad():
                tokens = [self.objective.encode(part) for part in batches]
                for _ in range(n_idle):
                    self.objective.encode(batches[-1])
        names = self.objective.names(batches, tokens, chance)
        judgements = [self.objective.judge(part) for part in batches]
        seed += 1_000_003 * self.processes.rank
        ids = [names.ids if names else None, *[None] * (len(batches) - 1)]
        parts = [
            Part(*part, seed + number) for number, part in enumerate(zip(batches, tokens, ids, judgements, strict=True))
        ]
        idle = [replace(parts[-1], names=None, is_idle=True)] * n_idle
        return [*parts, *idle], names.target if names else None

    def _n_idle(self, n_parts: int) -> int:
        """How many micro-batches more another process has, if the others must be there to compute them."""
        return self.processes.highest(n_parts) - n_parts if self._sharded is not None else 0

    def _token_weights(self, batch: TrainingBatch, share: float) -> _TokenWeights:
        config, count = self.config, self.processes.count
        own = torch.tensor([self.objective.n_targets(ids) for ids in (batch.ids, batch.labelled_ids)])
        own = own.to(batch.pixels.device, torch.float64)
        # What is computed here is averaged over the processes. Exactly, every token counts the same wherever it is; in
        # OpenCLIP's way every process does.
        totals = self.processes.sum(own) / count if config.gather_with_grad else own
        caption, label_caption = (share / max(1.0, total) for total in totals.tolist())
        pictures = self.processes.sum(torch.tensor(float(len(batch.pixels)), device=batch.pixels.device)) / count
        drawn = 1 / (float(pictures) * config.self_critical_samples) if config.self_critical_weight else 0.0
        return _TokenWeights(
            config.caption_weight * caption,
            config.label_caption_weight * label_caption,
            config.distill_caption_weight * caption if config.distill_from else 0.0,
            share * config.self_critical_weight * drawn,
            drawn,
        )

    def _compare(self, parts: list[Part], batch: TrainingBatch, targets: Tensor | None) -> EmbeddingLosses:
        found = []
        with torch.no_grad():
            for part in parts:
                output = self._run(part, captions=False)
                assert output.embeddings is not None
                if not part.is_idle:
                    found.append(output.embeddings)
        return self._compared(found, [part for part in parts if not part.is_idle], batch, targets)

    def _compared(
        self, found: list[Embeddings], parts: list[Part], batch: TrainingBatch, targets: Tensor | None
    ) -> EmbeddingLosses:
        """The losses that compare what was found of all parts, and what each of it should change by."""
        judged = [part.judgement for part in parts if part.judgement is not None]
        judgement = joined_judgement(judged) if judged else None
        return embedding_losses(
            joined(found, parts), batch.owners, targets, judgement, self.config, self.processes, batch.sentences
        )

    def _repeat(self, parts: list[Part], compared: EmbeddingLosses | None, weights: _TokenWeights) -> list[Tensor]:
        own = [part for part in parts if not part.is_idle]
        gradients = divided(compared.gradients, own) if compared else [None] * len(own)
        captions = []
        for number, part in enumerate(parts):
            with nullcontext() if part is parts[-1] else self._without_exchange():
                output = self._run(part, captions=weights.are_needed)
                if part.is_idle:
                    nothing = output.embeddings and Embeddings(*(torch.zeros_like(x) for x in output.embeddings))
                    self._go_back(output, nothing, _TokenWeights(0.0, 0.0, 0.0, 0.0, 0.0))
                else:
                    captions.append(self._go_back(output, gradients[number], weights))
        return captions

    def _run(self, part: Part, *, captions: bool) -> Forward:
        torch.manual_seed(part.seed)
        output: Forward = self._forward(
            part.batch,
            tokens=part.tokens,
            names=part.names,
            judgement=part.judgement,
            embeddings=self.objective.has_embeddings,
            captions=captions and self.objective.has_captions,
        )
        return output

    def _go_back(self, output: Forward, gradients: Embeddings | None, weights: _TokenWeights) -> Tensor:
        """Run backward from a micro-batch; its weighted captioning losses, as they count in this process."""
        sources: list[Tensor] = []
        upstream: list[Tensor] = []
        if output.embeddings is not None and gradients is not None:
            sources, upstream = list(output.embeddings), list(gradients)
        captions = output.caption.new_zeros(4) if output.caption is not None else torch.zeros(4)
        losses = (
            (output.caption, weights.caption),
            (output.label_caption, weights.label_caption),
            (output.divergence, weights.divergence),
        )
        for number, (loss, weight) in enumerate(losses):
            if loss is not None:
                captions[number] = weight * loss.detach()
                sources.append(loss)
                upstream.append(torch.full_like(loss, weight))
        if output.self_critical is not None and output.reward is not None:
            captions[3] = weights.reward * output.reward
            sources.append(output.self_critical)
            upstream.append(torch.full_like(output.self_critical, weights.self_critical))
        pairs = [pair for pair in zip(sources, upstream, strict=True) if pair[0].requires_grad]
        scale = self._scaler.scale
        torch.autograd.backward([source for source, _ in pairs], [scale(gradient) for _, gradient in pairs])
        return captions

    def _without_exchange(self) -> AbstractContextManager[None]:
        """Gradients stay with this process until the last micro-batch."""
        if isinstance(self._forward, DistributedDataParallel):
            return self._forward.no_sync()
        return nullcontext() if self._sharded is None else _kept_apart(self._sharded)

    def _losses(self, compared: EmbeddingLosses | None, captions: Tensor, caption_share: float) -> StepLosses:
        config = self.config
        found = (compared.contrastive, compared.name, compared.divergence) if compared else captions.new_zeros(3)
        own = torch.stack([*(loss.to(captions) for loss in found), *captions])
        shared = self.processes.sum(own) / self.processes.count
        contrastive, name, similarities, caption, label_caption, next_tokens, reward = shared
        distillation = config.distill_weight * similarities + next_tokens
        total = config.contrastive_weight * contrastive + config.name_weight * name + caption + label_caption
        weight = caption_share * config.caption_weight
        caption = caption / weight if weight else caption
        return StepLosses(total + distillation, contrastive, caption, name, distillation, reward)


@contextmanager
def _kept_apart(sharded: FSDPModule) -> Iterator[None]:
    sharded.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        sharded.set_requires_gradient_sync(True)
