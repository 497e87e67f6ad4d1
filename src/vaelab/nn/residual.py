"""Residual blocks, and the group normalisation that goes with them."""

from collections.abc import Callable

from torch import Tensor, nn

from vaelab.nn.small_maps import Conv2d

GROUPS = 8


class ResBlock(nn.Module):
    """a(x + f(x)) with f two 3×3 convolutions, each normalised, and the activation a between them (He et al. 2016)."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module], activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(channels),
            activation(),
            Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(channels),
        )
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        return self.activation(x + self.inner(x))


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalisation of each image over 8 groups of channels (Wu & He 2018); ValueError where 8 does not divide them."""
    if channels % GROUPS:
        near = channels + -channels % GROUPS
        raise ValueError(f"{channels} channels do not divide into the {GROUPS} groups of the normalisation; try {near}")
    return nn.GroupNorm(GROUPS, channels)
