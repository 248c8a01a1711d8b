"""The words of all that a run is trained on, for the file of known words in its model folder.

Receives sources of captions, labelled pictures and class names; hands on counts. Each caption counts a word once.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cocasearch.captioned_data import read_captioned_data
from cocasearch.checkpoints.model_files import WORDS_FILE
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.text.known_words import FEWEST_TO_KNOW, KnownWords, count_words
from cocasearch.text.tokenizer import clean
from cocasearch.training.data.class_names import ClassNames, in_template
from cocasearch.training.data.dataset import CAPTION_TEMPLATES, LabelledImages, TrainingData

# A class name is shown in many steps, whatever pictures there are, so that its words are well known by the end.
_CAPTIONS_PER_CLASS_NAME = FEWEST_TO_KNOW


def known_after_training(
    before: KnownWords | None, data: TrainingData, class_names: ClassNames | None = None
) -> KnownWords | None:
    """The words that a model knows when it has been trained.

    Args:
        before: Those that it knew before; None if nobody can say which those were, and then nobody can say it now.
        data: All that it is trained on.
        class_names: The names of the name loss.
    """
    if before is None:
        return None
    captions = (clean(caption) for source in data.sources for image in source.images for caption in image.captions)
    counts = count_words(captions)
    if data.labelled is not None:
        counts += _words_of_labels(data.labelled)
    if class_names is not None:
        counts += _words_of_names(class_names)
    return before.plus(counts)


def write_known_words(folder: Path, data: Sequence[str | Path], names: Path | None = None) -> KnownWords:
    """Give a model folder that has none the file of its known words, from the data that it was trained on.

    For a model that began with fresh weights: one that began as another knows that one's words as well.

    Args:
        folder: The model folder; its weights and its fingerprint stay as they are.
        data: The captioned data files.
        names: The table of class names, if there was one.

    Raises:
        CocaSearchError: The folder holds no model, or data or names cannot be read.
    """
    read_model_folder(folder)
    images = [image for source in data for image in read_captioned_data(source).images]
    counts = count_words(clean(caption) for image in images for caption in image.captions)
    if names is not None:
        counts += _words_of_names(ClassNames.read(names))
    words = KnownWords(counts)
    words.write(folder / WORDS_FILE)
    return words


def _words_of_labels(labelled: LabelledImages) -> Counter[str]:
    """Of the captions that are made of the pictures' classes."""
    counts: Counter[str] = Counter()
    for label, pictures in Counter(labelled.classes).items():
        caption = in_template(labelled.names[label][0], CAPTION_TEMPLATES[0])
        counts.update(dict.fromkeys(count_words([caption]), pictures))
    return counts


def _words_of_names(class_names: ClassNames) -> Counter[str]:
    """Of names, synonyms and the words above them."""
    once = count_words(map(clean, class_names.vocabulary()))
    return Counter({word: count * _CAPTIONS_PER_CLASS_NAME for word, count in once.items()})
