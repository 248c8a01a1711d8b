"""Tokenizers: strings to token ids and back.

A tokenizer is byte-pair encoding over bytes, held by the `tokenizers` library and stored as one `tokenizer.json`.
Every text is cleaned in Python first (`clean`); what a tokenizer adds to that, such as how detached punctuation is
joined, is the normalizer inside its JSON. The special tokens are found there by name, and their names say whether upper
case is kept, so that one file restores everything.
"""

import gzip
import html
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path

import ftfy
import tokenizers
import torch
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from cocasearch.errors import CocaSearchError, first_line
from cocasearch.json_values import read_text
from cocasearch.text.tokenizer_checks import refuse_unbounded

# The library's own threads gain little here and warn on stderr whenever a process that used them forks data workers.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PAD, SOT, EOT = "<pad>", "<start_of_text>", "<end_of_text>"
_END_OF_WORD = "</w>"
_CLIP_VOCABULARY = Path(__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
_CLIP_MERGES = 49152 - 256 - 2
_CONTRACTION = "'(?:s|t|re|ve|m|ll|d)"
_CLIP_WORD = rf"(?i){_CONTRACTION}|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+"
# The space before a word belongs to it, so that decoding gives back the text as it was; digits are never joined.
_TRAINED_WORD = rf"{_CONTRACTION}| ?[\p{{L}}\p{{M}}]+| ?\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+|\s+"
# "a dog ." and "a dog." are one sentence: word-tokenised captions are joined as people type them.
_SPACE_BEFORE_PUNCTUATION = rf" +(?=[.,;:!?)\]}}]+(?: |$)|n't\b|{_CONTRACTION}\b)"
_SPACE_AFTER_BRACKET = r"(?<=[(\[{]) +"
_MOST_BYTES = 50_000_000  # of a tokenizer.json; that of a vocabulary of 250,000 has 17 million
# What a model reads of a text are its first hundred words or so; the rest would only take time.
_LONGEST_TEXT = 10_000


# Start, end and padding of RoBERTa's vocabularies. Those of CLIP's kind have SOT and EOT, and pad with id 0 whatever it
# stands for; they were made for lower case.
_ROBERTA = ("<s>", "</s>", PAD)


class Tokenizer:
    """The conversion between texts and token ids of one vocabulary.

    Padding is id 0, or RoBERTa's `<pad>`. In CLIP's vocabulary id 0 is also the real token "!" when it is followed by
    more of its word, so padding counts as such only at the end of a sequence.

    Args:
        backend: The vocabulary, with `<start_of_text>` and `<end_of_text>` among its tokens, or RoBERTa's `<s>`,
            `</s>` and `<pad>`.

    Raises:
        CocaSearchError: The vocabulary has neither.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        # A special token typed by a user stays ordinary text, except where the vocabulary declares it ordinary (CLIP).
        backend.encode_special_tokens = True
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._lower_case = backend.token_to_id(_ROBERTA[0]) is None
        if self._lower_case:
            self.sot_id, self.eot_id, self.pad_id = self._id_of(SOT), self._id_of(EOT), 0
        else:
            self.sot_id, self.eot_id, self.pad_id = map(self._id_of, _ROBERTA)
        self.vocab_size = backend.get_vocab_size()
        for part in (backend.normalizer, backend.pre_tokenizer, backend.decoder):
            refuse_unbounded(part)
        self._refuse_unknown([self.sot_id, self.eot_id, self.pad_id])

    @classmethod
    def load(cls, file: Path) -> "Tokenizer":
        """The tokenizer stored in `file`.

        Raises:
            CocaSearchError: The file is missing or is not a tokenizer.
        """
        try:
            text = read_text(file, _MOST_BYTES)
            with _explained("it is not a tokenizer.json"):
                return cls(tokenizers.Tokenizer.from_str(text))
        except OSError as error:
            raise CocaSearchError(f"cannot read tokenizer {file}: {error.strerror}") from error
        except (ValueError, CocaSearchError) as error:
            raise CocaSearchError(
                f"cannot read tokenizer {file}: {error}", hint=getattr(error, "hint", None)
            ) from error

    def save(self, file: Path) -> None:
        """Write the whole tokenizer to `file` as JSON."""
        file.write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """The content of `tokenizer.json`; equal tokenizers give equal strings."""
        return str(self._backend.to_str())

    def clean(self, text: str) -> str:
        """The text as the model sees it, which `decode` gives back if the vocabulary keeps spaces."""
        cleaned, normalizer = self._clean(text), self._backend.normalizer
        with _explained():
            return str(normalizer.normalize_str(cleaned)).strip() if normalizer else cleaned

    def encode(self, text: str) -> list[int]:
        """Token ids of the cleaned text, without start, end or padding."""
        return self._encode([self._clean(text)])[0]

    def __call__(self, texts: Sequence[str], context_length: int) -> torch.Tensor:
        """Ids (B, context_length) int64: start, text, end, padding. A longer text is cut, its last id being the end."""
        encoded = self._encode(list(map(self._clean, texts)))
        rows = [[self.sot_id, *ids[: context_length - 2], self.eot_id] for ids in encoded]
        padded = [row + [self.pad_id] * (context_length - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(texts), context_length)

    def unread_end(self, text: str, context_length: int) -> str:
        """The end of the cleaned text that `__call__` cuts off, from the first word on that is not kept whole."""
        cleaned = self._clean(text)
        with _explained():
            encoding = self._backend.encode(cleaned, add_special_tokens=False)
        first = max(context_length - 2, 0)
        if len(encoding.ids) <= first:
            return ""
        while first and encoding.word_ids[first] == encoding.word_ids[first - 1]:
            first -= 1
        return cleaned[encoding.offsets[first][0] :].strip()

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` up to the first end token, without start tokens and padding, stripped."""
        text_ids = list(ids)
        if self.eot_id in text_ids:
            text_ids = text_ids[: text_ids.index(self.eot_id)]
        while text_ids and text_ids[-1] == self.pad_id:
            text_ids.pop()
        with _explained():
            return str(self._backend.decode([i for i in text_ids if i != self.sot_id])).strip()

    def _clean(self, text: str) -> str:
        return clean(text[:_LONGEST_TEXT], lower_case=self._lower_case)

    def _encode(self, cleaned: list[str]) -> list[list[int]]:
        with _explained():
            encodings = self._backend.encode_batch_fast(cleaned, add_special_tokens=False)
        rows = [list(encoding.ids) for encoding in encodings]
        for ids in rows:
            self._refuse_unknown(ids)
        return rows

    def _refuse_unknown(self, ids: list[int]) -> None:
        if ids and max(ids) >= self.vocab_size:
            raise CocaSearchError(f"the tokenizer gives a token the number {max(ids)}, and has {self.vocab_size}")

    def _id_of(self, token: str) -> int:
        token_id = self._backend.token_to_id(token)
        if token_id is None:
            raise CocaSearchError(f"the tokenizer has no token {token}", hint="use the tokenizer.json of a CoCa model")
        return int(token_id)


@contextmanager
def _explained(what: str = "the model's tokenizer cannot deal with a text") -> Iterator[None]:
    """Turn whatever the library raises into one sentence: plain exceptions, and panics, which are no Exception."""
    try:
        yield
    except CocaSearchError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CocaSearchError(f"{what}: {first_line(error)[:100]}") from error


def clean(text: str, *, lower_case: bool = True) -> str:
    """The text as CLIP cleans it: mojibake and HTML entities repaired, whitespace collapsed, lower-cased.

    OpenCLIP does the same for other tokenizers, except that it keeps their upper case.
    """
    if not _is_plain(text):
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    text = " ".join(text.split())
    return text.lower() if lower_case else text


def _is_plain(text: str) -> bool:
    """Whether repairing would change nothing; skipping it then makes plain English five times as fast."""
    return text.isascii() and text.isprintable() and "&" not in text


@cache
def clip_tokenizer() -> Tokenizer:
    """OpenAI CLIP's tokenizer, 49,408 ids, exactly as OpenCLIP's CoCa models use it."""
    with gzip.open(_CLIP_VOCABULARY, "rt", encoding="utf-8") as lines:  # the version, then a pair of tokens a line
        merges = [(left, right) for left, right in map(str.split, islice(lines, 1, 1 + _CLIP_MERGES))]
    # The printable character that stands for each byte, in the order of CLIP's ids: printable bytes come first.
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    characters = [*map(chr, printable), *map(chr, range(256, 512 - len(printable)))]
    tokens = characters + [character + _END_OF_WORD for character in characters]
    tokens += [left + right for left, right in merges]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix=_END_OF_WORD))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(_END_OF_WORD, " ")])
    # Not declared special: OpenCLIP turns these strings into their ids wherever a text contains them.
    backend.add_tokens([AddedToken(SOT, normalized=False), AddedToken(EOT, normalized=False)])
    return Tokenizer(backend)


def train_tokenizer(captions: Iterable[str], vocab_size: int) -> Tokenizer:
    """A tokenizer fitted to `captions`, with at most `vocab_size` ids; the same captions give the same tokenizer.

    No text is lost in it, since bytes are the fallback: `decode(encode(text)) == clean(text)`.

    Raises:
        CocaSearchError: `vocab_size` leaves no room for the 256 bytes and the 3 special tokens.
    """
    smallest = 256 + 3
    if vocab_size < smallest:
        raise CocaSearchError(f"a vocabulary of {vocab_size} is too small", hint=f"use at least {smallest} tokens")
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_SPACE_BEFORE_PUNCTUATION), ""),
            normalizers.Replace(Regex(_SPACE_AFTER_BRACKET), ""),
            normalizers.Prepend(" "),  # a word has the same ids at the start of a text as within it
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_TRAINED_WORD), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, SOT, EOT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((clean(caption) for caption in captions), trainer)
    return Tokenizer(backend)
