"""What a search gives: the images found, with all figures that put them in their order."""

import os
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cocasearch.inference.caption_confidence import is_sure


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One image that answers a query.

    Attributes:
        rank: 1 for the best.
        score: Cosine of query and image, at most 1; None where no vectors were compared.
        path: The image file, absolute.
        relative_path: The same as seen from the indexed folder it lies in, with forward slashes.
        caption: What the model wrote when it indexed the image, or a person since; None without captions.
        caption_score: Cosine of the image and that caption.
        id: The image's id in the index.
        taken_at: When the photo was taken, by its camera's clock, if it says so.
        text_score: BM25 score of query words and caption, if captions were searched and this one has such a word.
        vector_rank: The image's place by `score`, in a hybrid search.
        text_rank: The image's place by `text_score`, in a hybrid search; None if its caption has none of the words.
        fused_score: What a hybrid search orders by: the sum of 1 / (60 + rank) over both ranks.
        caption_confidence: Probability that the caption is right, 0 to 1; None if nobody has judged it, or a person has
            written it.
        camera: What took it, if the file says so; likewise `latitude` and `longitude`, in degrees.
        width: Pixels, upright, as is `height`.
        size: Bytes of the file.
        format: As the decoder names it: "JPEG", "PNG".
        copies: Of an example that was asked for: the other files with its content that meet the condition, which take
            no places of their own.
    """

    rank: int
    score: float | None
    path: str
    relative_path: str
    caption: str | None
    caption_score: float | None
    id: str
    taken_at: datetime | None = None
    text_score: float | None = None
    vector_rank: int | None = None
    text_rank: int | None = None
    fused_score: float | None = None
    caption_confidence: float | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    width: int | None = None
    height: int | None = None
    size: int | None = None
    format: str | None = None
    copies: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether the image file is where the index has it, now."""
        return os.path.exists(self.path)  # noqa: PTH110  which takes what the system does not tell as a no

    @property
    def caption_is_sure(self) -> bool | None:
        """Whether the caption is more likely right than wrong, or nobody has judged it; None without a caption."""
        return None if self.caption is None else is_sure(self.caption_confidence)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, and `caption_is_sure`, as JSON types; the time as ISO 8601."""
        taken_at = self.taken_at.isoformat() if self.taken_at else None
        return {**asdict(self), "taken_at": taken_at, "caption_is_sure": self.caption_is_sure}
