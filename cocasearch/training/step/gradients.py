"""From a batch to gradients, whatever the memory and however many the processes.

A step that does not fit in memory is computed in micro-batches (gradient caching, arXiv 2101.06983): embeddings of all
of them without a graph, the losses that compare them on all at once, then each micro-batch again with the gradients
that its embeddings got. Captioning losses are sums over tokens, so they are exact in any division. Random numbers of a
micro-batch are the same both times.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.embedding_losses import EmbeddingLosses, embedding_losses
from cocasearch.training.losses.objective import Embeddings, Forward, Objective
from cocasearch.training.losses.step_losses import Counts, StepLosses, step_losses, sum_weights
from cocasearch.training.step.micro_batches import Part, detached, divide, divided, joined, joined_teacher_outputs
from cocasearch.training.step.processes import Processes
from cocasearch.training.step.sharding import shard


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
        if self.processes.count > 1 and config.computation.sharding == "full":
            self._sharded = shard(objective, self.processes.count)
        elif self.processes.count > 1:
            # Which parameters are used changes when the encoder is unfrozen.
            self._forward = DistributedDataParallel(
                objective, find_unused_parameters=True, gradient_as_bucket_view=True
            )

    def compute(
        self, batch: TrainingBatch, *, encoder_is_frozen: bool, rng: random.Random, seed: int = 0, ramp: float = 1.0
    ) -> StepLosses:
        """Leave the gradients of a batch in the parameters.

        Args:
            batch: This process's share of the step.
            encoder_is_frozen: The image encoder gets no gradients.
            rng: Draws the class names.
            seed: Of dropout; a process and a micro-batch each get one of their own.
            ramp: Factor of the captioning losses in this step, 0 to 1; at 0 they cost nothing.
        """
        parts, targets = self._parts(batch, encoder_is_frozen, rng, seed)
        weights = sum_weights(self.config, self._counts(batch), ramp)
        compared = None
        if len(parts) == 1:
            output = self._run(parts[0], captions=any(weights.values()))
            if output.embeddings is not None:
                compared = self._compared([detached(output.embeddings)], parts, batch, targets)
            sums = [self._go_back(output, compared.gradients if compared else None, weights)]
        else:
            if self.objective.has_embeddings:
                compared = self._compare(parts, batch, targets)
            sums = self._repeat(parts, compared, weights)
        if self._sharded is not None and (scale := self.objective.model.logit_scale.grad) is not None:
            scale.copy_(self.processes.sum(scale) / self.processes.count)  # it is not among what is divided
        total = dict(zip(weights, torch.stack(sums).sum(dim=0), strict=True))
        return self._losses(compared.values if compared else {}, total, ramp)

    def _parts(
        self, batch: TrainingBatch, encoder_is_frozen: bool, rng: random.Random, seed: int
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
        names = self.objective.names(batches, tokens, rng)
        outputs = [self.objective.teacher_output(part) for part in batches]
        seed += 1_000_003 * self.processes.rank
        ids = [names.ids if names else None, *[None] * (len(batches) - 1)]
        parts = [
            Part(*part, seed + number) for number, part in enumerate(zip(batches, tokens, ids, outputs, strict=True))
        ]
        idle = [replace(parts[-1], names=None, is_idle=True)] * n_idle
        return [*parts, *idle], names.target if names else None

    def _n_idle(self, n_parts: int) -> int:
        """How many micro-batches more another process has, if the others must be there to compute them."""
        return max(self.processes.gather(n_parts)) - n_parts if self._sharded is not None else 0

    def _counts(self, batch: TrainingBatch) -> Counts:
        count = self.processes.count
        own = torch.tensor([self.objective.n_targets(ids) for ids in (batch.ids, batch.labelled_ids)])
        own = own.to(batch.pixels.device, torch.float64)
        # What is computed here is averaged over the processes. Exactly, every token counts the same wherever it is; in
        # OpenCLIP's way every process does.
        totals = self.processes.sum(own) / count if self.config.computation.gather_with_grad else own
        photos = self.processes.sum(torch.tensor(float(len(batch.pixels)), device=batch.pixels.device)) / count
        tokens, label_tokens = totals.tolist()
        return Counts(tokens, label_tokens, float(photos))

    def _compare(self, parts: list[Part], batch: TrainingBatch, targets: Tensor | None) -> EmbeddingLosses:
        embeddings = []
        with torch.no_grad():
            for part in parts:
                output = self._run(part, captions=False)
                assert output.embeddings is not None
                if not part.is_idle:
                    embeddings.append(output.embeddings)
        return self._compared(embeddings, [part for part in parts if not part.is_idle], batch, targets)

    def _compared(
        self, embeddings: list[Embeddings], parts: list[Part], batch: TrainingBatch, targets: Tensor | None
    ) -> EmbeddingLosses:
        """The losses that compare the embeddings of all parts, and what each of them should change by."""
        outputs = [part.teacher_output for part in parts if part.teacher_output is not None]
        teacher_output = joined_teacher_outputs(outputs) if outputs else None
        return embedding_losses(
            joined(embeddings, parts),
            batch.owners,
            targets,
            teacher_output,
            self.config,
            self.processes,
            batch.sentences,
        )

    def _repeat(
        self, parts: list[Part], compared: EmbeddingLosses | None, weights: Mapping[str, float]
    ) -> list[Tensor]:
        own = [part for part in parts if not part.is_idle]
        gradients = divided(compared.gradients, own) if compared else [None] * len(own)
        sums = []
        for number, part in enumerate(parts):
            with nullcontext() if part is parts[-1] else self._without_exchange():
                output = self._run(part, captions=any(weights.values()))
                if part.is_idle:
                    nothing = output.embeddings and Embeddings(*(torch.zeros_like(x) for x in output.embeddings))
                    self._go_back(output, nothing, dict.fromkeys(weights, 0.0))
                else:
                    sums.append(self._go_back(output, gradients[number], weights))
        return sums

    def _run(self, part: Part, *, captions: bool) -> Forward:
        torch.manual_seed(part.seed)
        output: Forward = self._forward(
            part.batch,
            tokens=part.tokens,
            names=part.names,
            teacher_output=part.teacher_output,
            embeddings=self.objective.has_embeddings,
            captions=captions and self.objective.has_captions,
        )
        return output

    def _go_back(self, output: Forward, gradients: Embeddings | None, weights: Mapping[str, float]) -> Tensor:
        """Run backward from a micro-batch; its weighted sums in the order of `weights`, as they count here."""
        sources: list[Tensor] = []
        upstream: list[Tensor] = []
        if output.embeddings is not None and gradients is not None:
            sources, upstream = list(output.embeddings), list(gradients)
        values = torch.zeros(len(weights), device=self.objective.model.logit_scale.device)
        for number, (name, weight) in enumerate(weights.items()):
            if (loss := output.sums.get(name)) is not None:
                values[number] = weight * loss.detach()
                sources.append(loss)
                upstream.append(torch.full_like(loss, weight))
        pairs = [pair for pair in zip(sources, upstream, strict=True) if pair[0].requires_grad]
        scale = self._scaler.scale
        torch.autograd.backward([source for source, _ in pairs], [scale(gradient) for _, gradient in pairs])
        return values

    def _without_exchange(self) -> AbstractContextManager[None]:
        """Gradients stay with this process until the last micro-batch."""
        if isinstance(self._forward, DistributedDataParallel):
            return self._forward.no_sync()
        return nullcontext() if self._sharded is None else _kept_apart(self._sharded)

    def _losses(self, compared: Mapping[str, Tensor], sums: Mapping[str, Tensor], ramp: float) -> StepLosses:
        own = torch.stack([*(loss.to(torch.float32) for loss in compared.values()), *sums.values()])
        shared = self.processes.sum(own) / self.processes.count
        return step_losses(
            dict(zip(compared, shared, strict=False)),
            dict(zip(sums, shared[len(compared) :], strict=True)),
            self.config,
            ramp,
        )


@contextmanager
def _kept_apart(sharded: FSDPModule) -> Iterator[None]:
    sharded.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        sharded.set_requires_gradient_sync(True)
