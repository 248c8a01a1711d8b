"""The files of a model folder by name, for all who look for one without reading it. Brings nothing with it."""

CONFIG_FILE = "config.json"
MOST_CONFIG_BYTES = 16_000_000
"""Of that file, and of others like it; none that was written here comes near."""
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
CARD_FILE = "README.md"
WORDS_FILE = "words.tsv"
"""How often the training data had each word; models that were not trained here have none."""
CONFIDENCE_FILE = "confidence.json"
"""How far the model's captions can be trusted, as `models calibrate` found it."""

ALL_FILES = frozenset({CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, CARD_FILE, WORDS_FILE, CONFIDENCE_FILE})
