"""Coupling flow whose networks are cross-attention: the tokens of one half of the latents inform the other half."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaelab.flows.chain import Layer, LayeredFlow, start_small
from vaelab.registry import Count, Depth, Size, register


class Block(nn.Module):
    """Queries [N, T, W] attend to keys and values [N, heads, T, W / heads]; then an MLP; both residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[N, T, W]."""
        heads = self.query(q).unflatten(-1, (k.shape[1], -1)).transpose(1, 2)
        q = q + self.out(F.scaled_dot_product_attention(heads, k, v).transpose(1, 2).flatten(2))
        return q + self.mlp(q)


class ScaleAndShift(nn.Module):
    """s and t [..., half] from the other half and the context alone: the queries are learned positions.

    s = scale·tanh(·). Keys and values of all blocks are one product, without the bias that softmax cancels.
    """

    def __init__(self, half: int, context: int, tokens: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.tokens, self.heads, self.depth = tokens, heads, depth
        self.embed = nn.Linear(half // tokens, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.queries = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.context = nn.Linear(context, width) if context else None
        self.keys_values = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * depth * width, bias=False))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.token = nn.Linear(width, half // tokens)
        self.last = nn.Linear(half, 2 * half)
        self.scale = nn.Parameter(torch.ones(()))
        start_small(self.last)

    def forward(self, a: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Conditioning half a [..., half] -> s, t."""
        lead = a.shape[:-1]
        kv = self.embed(a.reshape(-1, self.tokens, a.shape[-1] // self.tokens)) + self.positions
        kv = self.keys_values(kv).unflatten(-1, (2, self.depth, self.heads, -1))  # [N, T, 2, depth, heads, W / heads]
        keys, values = kv.permute(2, 3, 0, 4, 1, 5)
        q = self.queries.expand(len(kv), -1, -1)
        if self.context is not None and c is not None:
            q = q + self.context(c).expand(*lead, -1).reshape(len(kv), 1, -1)
        for block, k, v in zip(self.blocks, keys, values, strict=True):
            q = block(q, k, v)
        s, t = self.last(self.token(q).flatten(1)).view(*lead, -1).chunk(2, -1)
        return self.scale * torch.tanh(s), t


class CrossCoupling(Layer):
    """Of the permuted halves a and b: b ← b·exp(s(a)) + t(a), then a ← a·exp(s(b)) + t(b); log |det| = Σ s."""

    def __init__(self, latent_dim: int, context: int, tokens: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        permutation = torch.randperm(latent_dim)
        self.permutation, self.back = nn.Buffer(permutation), nn.Buffer(permutation.argsort())
        self.of_a, self.of_b = (ScaleAndShift(latent_dim // 2, context, tokens, width, heads, depth) for _ in range(2))

    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """b first."""
        a, b = x[..., self.permutation].chunk(2, -1)
        s, t = self.of_a(a, c)
        b = b * s.exp() + t
        s_, t = self.of_b(b, c)
        return torch.cat([a * s_.exp() + t, b], -1)[..., self.back], (s + s_).sum(-1)

    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """a first."""
        a, b = y[..., self.permutation].chunk(2, -1)
        s_, t = self.of_b(b, c)
        a = (a - t) * (-s_).exp()
        s, t = self.of_a(a, c)
        return torch.cat([a, (b - t) * (-s).exp()], -1)[..., self.back], -(s + s_).sum(-1)


@register("flow", "cross_attention")
def cross_attention(
    latent_dim: int,
    *,
    context: Count = 0,
    layers: Depth = 8,
    tokens: Size = 8,
    width: Size = 128,
    heads: Size = 4,
    depth: Depth = 2,
) -> LayeredFlow:
    """`layers` bidirectional couplings; each half is `tokens` tokens of a transformer of this `width` and `depth`.

    The flow of CrossVampVAE (Halcyon1010), made invertible: its queries were the half that it transforms. The context
    is added to the queries. For second derivatives, which torch refuses of its fused attention, take them within
    `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`.
    """
    if latent_dim % 2:
        raise ValueError(f"latent_dim {latent_dim} has no equal halves; try {latent_dim + 1}")
    _divides("tokens", tokens, "half of the latents,", latent_dim // 2)
    _divides("heads", heads, "width", width)
    steps = [CrossCoupling(latent_dim, context, tokens, width, heads, depth) for _ in range(layers)]
    return LayeredFlow(steps, latent_dim, context)


def _divides(name: str, value: int, what: str, whole: int) -> None:
    if whole % value:
        divisors = ", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0)
        raise ValueError(f"{name} {value} does not divide {what} {whole}; try one of {divisors}")
