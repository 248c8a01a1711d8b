"""The names of the files in a model folder. Nothing is imported here, so that looking for a folder is cheap."""

CONFIG_FILE = "config.json"
MOST_CONFIG_BYTES = 16_000_000
"""Largest size of that file and of similar ones that is read; none that was written here comes near."""
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
CARD_FILE = "README.md"
WORDS_FILE = "words.tsv"
"""The file with the count of each word in the training data; models that were not trained here have none."""
CONFIDENCE_FILE = "confidence.json"
"""The file that says how far captions can be trusted; `models calibrate` writes it."""

ALL_FILES = frozenset({CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, CARD_FILE, WORDS_FILE, CONFIDENCE_FILE})
