"""VampAlign and CrossVampVAE as written plainly in torch: float32, x and u encoded apart, the density a broadcast."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from likelihood import log_normal
from mixture import broadcast

Make = Callable[[int], nn.Module]


class Plain(nn.Module):
    """A VAE with a VampPrior, and perhaps couplings between the posterior's Gaussian and the latents."""

    def __init__(
        self, encoder: nn.Module, features: int, latent: int, decoder: nn.Module, u: Tensor, flow: Iterable = ()
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.flow = encoder, decoder, nn.ModuleList(flow)
        self.mean, self.log_var = nn.Linear(features, latent), nn.Linear(features, latent)
        self.pseudo_inputs = nn.Parameter(u)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        return self.mean(h), self.log_var(h).clamp(-6, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions, and one draw of log q(z | x) − log p(z) [B]."""
        mean, log_var = self.encode(x)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        log_q = log_normal(z, mean, log_var).sum(1)
        for coupling in self.flow:
            z, log_det = coupling(z)
            log_q = log_q - log_det
        return self.decoder(z), log_q - broadcast(z, *self.encode(self.pseudo_inputs.clamp(0, 1)))


class Residual(nn.Module):
    """a(x + f(x)) with f two normalised convolutions."""

    def __init__(self, channels: int, norm: Make, activation: nn.Module) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.inner = nn.Sequential(first, norm(channels), activation, second, norm(channels))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.inner(x))


class Attention(nn.Module):
    """x + γ W softmax(qkᵀ/√C) v over pixels, by 1×1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.gamma = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).flatten(2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(q.transpose(1, 2) @ k / x.shape[1] ** 0.5, -1)
        return x + self.gamma * self.out((v @ weights.transpose(1, 2)).view_as(x))


def vampalign(components: int) -> Plain:
    """At 64 × 64 with 256 latents: 4×4 convolutions of stride 2 with batch normalisation, residual blocks between."""
    channels, leaky = (64, 128, 256, 512), nn.LeakyReLU(0.2)
    encoder: list[nn.Module] = []
    for i, o in zip((3, *channels), channels, strict=False):
        encoder += [nn.Conv2d(i, o, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(o), leaky]
        encoder += [Residual(o, nn.BatchNorm2d, leaky)] if o < 512 else []
    decoder: list[nn.Module] = [nn.Linear(256, 8192), nn.Unflatten(1, (512, 4, 4))]
    for i, o in zip(channels[:0:-1], channels[-2::-1], strict=True):
        decoder += [nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        decoder.append(Residual(o, nn.BatchNorm2d, leaky))
    decoder += [nn.ConvTranspose2d(64, 3, 4, stride=2, padding=1), nn.Sigmoid()]
    u = torch.rand(components, 3, 64, 64)
    return Plain(nn.Sequential(*encoder, nn.Flatten()), 8192, 256, nn.Sequential(*decoder), u)


def crossvamp(components: int) -> Plain:
    """At 32 × 32 with 128 latents: 3×3 convolutions with group normalisation, attention, and 8 couplings."""

    def norm(channels: int) -> nn.Module:
        return nn.GroupNorm(8, channels)

    def up(i: int, o: int) -> list[nn.Module]:
        return [nn.ConvTranspose2d(i, o, 3, 2, padding=1, output_padding=1, bias=False), norm(o), nn.SiLU()]

    channels = (64, 128, 256, 512)
    encoder: list[nn.Module] = []
    for i, o in zip((3, *channels), channels, strict=False):
        encoder += [
            nn.Conv2d(i, o, 3, stride=2, padding=1, bias=False),
            norm(o),
            nn.SiLU(),
            Residual(o, norm, nn.SiLU()),
        ]
    decoder: list[nn.Module] = [nn.Linear(128, 2048), nn.Unflatten(1, (512, 2, 2))]
    for i, o in zip(channels[:0:-1], channels[-2::-1], strict=True):
        decoder += [*up(i, o), Residual(o, norm, nn.SiLU())] + ([Attention(o)] if o == 256 else [])
    decoder += [*up(64, 64), nn.Conv2d(64, 3, 3, padding=1), nn.Sigmoid()]
    u, flow = torch.rand(components, 3, 32, 32), [Coupling(128) for _ in range(8)]
    return Plain(nn.Sequential(*encoder, Attention(512), nn.Flatten()), 2048, 128, nn.Sequential(*decoder), u, flow)


class Block(nn.Module):
    """Queries attend to the other tokens; then an MLP; both residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_q, self.norm_kv, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, q: Tensor, kv: Tensor) -> Tensor:
        kv = self.norm_kv(kv)
        q = q + self.attention(self.norm_q(q), kv, kv)[0]
        return q + self.mlp(self.norm(q))


class ScaleAndShift(nn.Module):
    """s and t of one half, by tokens of that half that attend to tokens of the other, as the original has it."""

    def __init__(self, half: int, tokens: int = 8, width: int = 128) -> None:
        super().__init__()
        self.tokens = tokens
        self.embed = nn.ModuleList(nn.Linear(half // tokens, width) for _ in range(2))
        self.positions = nn.ParameterList(0.02 * torch.randn(tokens, width) for _ in range(2))
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(2))
        self.token, self.last = nn.Linear(width, half // tokens), nn.Linear(half, 2 * half)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, target: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        q, kv = (
            embed(half.view(len(half), self.tokens, -1)) + positions
            for half, embed, positions in zip((target, given), self.embed, self.positions, strict=True)
        )
        for block in self.blocks:
            q = block(q, kv)
        s, t = self.last(self.token(q).flatten(1)).chunk(2, 1)
        return self.scale * torch.tanh(s), t


class Coupling(nn.Module):
    """Of the permuted halves a and b: b by a, then a by b."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.permutation = nn.Buffer(torch.randperm(latent))
        self.of_b, self.of_a = ScaleAndShift(latent // 2), ScaleAndShift(latent // 2)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = z[:, self.permutation].chunk(2, 1)
        s, t = self.of_b(b, a)
        b = b * torch.exp(s) + t
        s_, t = self.of_a(a, b)
        return torch.cat([a * torch.exp(s_) + t, b], 1), (s + s_).sum(1)
