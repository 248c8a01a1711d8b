"""The ViT image encoder: pixels (B, 3, S, S) in, tokens (B, 1 + N, D) out, the class token first.

Source: ViT (arXiv 2010.11929) as in OpenCLIP, with a norm before the blocks and none after: the pooling that
follows brings its own.
"""

import torch
from torch import Tensor, nn

from cocasearch.model.config import VisionTransformerConfig
from cocasearch.model.layers import Blocks, SelfAttentionBlock


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions, pre-norm blocks."""

    def __init__(self, config: VisionTransformerConfig, *, quick_gelu: bool = False) -> None:
        super().__init__()
        self.patch_dropout = 0.0  # set by the trainer; a saved model has none
        # A convolution whose stride is its kernel: the linear projection of each patch, without a bias as in CLIP.
        self.patches = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size, bias=False)
        scale = config.width**-0.5
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        self.positions = nn.Parameter(torch.empty(config.grid_size**2 + 1, config.width))
        nn.init.normal_(self.class_embedding, std=scale)
        nn.init.normal_(self.positions, std=scale)
        self.input_norm = nn.LayerNorm(config.width)
        self.blocks = Blocks[SelfAttentionBlock](
            SelfAttentionBlock(config.width, config.heads, layer_scale=config.layer_scale, quick_gelu=quick_gelu)
            for _ in range(config.layers)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patches(pixels.to(self.patches.weight.dtype)).flatten(2).transpose(1, 2)  # (B, N, D)
        # One learned token that belongs to no patch gathers what the whole image shows.
        class_token = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        x = torch.cat([class_token, patches], dim=1) + self.positions  # (B, 1 + N, D)
        if self.patch_dropout and self.training:
            x = drop_patches(x, self.patch_dropout)  # after the positions: what is left knows where it was
        return self.blocks(self.input_norm(x))  # no mask: every patch sees every other


def drop_patches(x: Tensor, share: float) -> Tensor:
    """The class token and a random part of the patches of each image: (B, 1 + N, D) -> (B, 1 + N', D).

    N' is N * (1 - share), rounded down, but one at least. Source: FLIP (arXiv 2212.00794) as in OpenCLIP.
    """
    batch, length, width = x.shape
    kept = max(1, int((length - 1) * (1 - share)))
    # The first N' of a random order of the patches; 1 + skips the class token.
    chosen = 1 + torch.rand(batch, length - 1, device=x.device).topk(kept, dim=1).indices
    patches = x.gather(1, chosen[..., None].expand(-1, -1, width))
    return torch.cat([x[:, :1], patches], dim=1)
