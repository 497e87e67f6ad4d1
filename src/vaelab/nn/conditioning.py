"""Networks that see the class of an image beside the image or its latent."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.errors import NeedsLabels, UsageError
from vaelab.roles import Decoder


class LabelledEncoder(nn.Module):
    """An encoder of images with one channel more, which holds a learned picture of the class (Sohn et al. 2015)."""

    def __init__(self, encoder: nn.Module, x_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.encoder, self.sides = encoder, x_shape[1:]
        self.pictures = nn.Embedding(classes, x_shape[1] * x_shape[2])

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Images [B, C, H, W] and classes [B] -> features."""
        return self.encoder(self.seen(x, y))

    def seen(self, x: Tensor, y: Tensor) -> Tensor:
        """The images with the pictures of their classes [B, C + 1, H, W]."""
        return torch.cat([x, self.pictures(y).view(-1, 1, *self.sides).to(x)], dim=1)


class LabelledDecoder(Decoder):
    """A decoder of latents with one coordinate more for each class."""

    def __init__(self, decoder: nn.Module, classes: int) -> None:
        super().__init__(decoder.growth if isinstance(decoder, Decoder) else None)
        self.decoder, self.classes = decoder, classes

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents [N, D] and classes [N] -> output for the likelihood."""
        return self.decoder(torch.cat([z, F.one_hot(y, self.classes).to(z)], dim=-1))

    def observed(self, p: Distribution) -> Distribution:
        """What the decoder below makes of p(x | z), if anything."""
        return self.decoder.observed(p) if isinstance(self.decoder, Decoder) else p


def apply(network: nn.Module, value: Tensor, y: Tensor | None) -> Tensor:
    """network(value), or network(value, y) where it is a labelled one; UsageError if it then gets no classes."""
    if not isinstance(network, LabelledEncoder | LabelledDecoder):
        return network(value)
    return network(value, _needed(y))


def bare(encoder: nn.Module, x: Tensor, y: Tensor | None) -> tuple[nn.Module, Tensor]:
    """The encoder below the classes, and the images [B, C, H, W] as it sees them."""
    if not isinstance(encoder, LabelledEncoder):
        return encoder, x
    return encoder.encoder, encoder.seen(x, _needed(y))


def _needed(y: Tensor | None) -> Tensor:
    if y is None:
        raise NeedsLabels
    return y


def refuse_unknown(y: Tensor, n: int, classes: int) -> None:
    """UsageError unless y holds n classes of a model that knows so many."""
    if y.shape != (n,) or y.dtype != torch.int64 or ((y < 0) | (y >= classes)).any():
        raise UsageError(f"y holds {n} classes of 0 to {classes - 1}, an int64 tensor [{n}]; give it so")
