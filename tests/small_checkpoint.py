"""A small CoCa as someone may publish it: OpenCLIP's weights, and the JSON that says what they are."""

from seeded_openclip import seeded_weights
from torch import Tensor

from cocasearch.checkpoints.foreign.openclip_configs import from_openclip_config

SMALL_CONFIG = {  # what a repository says of weights that CLIP's tokenizer suits, in OpenCLIP's layout
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 8,
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "attentional_pool": True,
            "attn_pooler_queries": 4,
            "attn_pooler_heads": 2,
            "output_tokens": True,
        },
        "text_cfg": {
            "context_length": 20,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
            "embed_cls": True,
            "output_tokens": True,
        },
        "multimodal_cfg": {"context_length": 20, "width": 16, "heads": 2, "layers": 1, "attn_pooler_heads": 2},
        "custom_text": True,
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic"},
}


def small_weights() -> dict[str, Tensor]:
    """Weights for it."""
    return seeded_weights(from_openclip_config("small", SMALL_CONFIG).config, 4, 1.2, 49407)
