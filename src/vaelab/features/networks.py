"""The networks that LPIPS looks through: AlexNet, VGG16 and SqueezeNet 1.1 up to their last tapped layer."""

import torch
from torch import Tensor, nn

from vaelab.errors import UsageError
from vaelab.features import pretrained

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet; LPIPS says the same of images in [-1, 1]

Layers = tuple[list[nn.Module], dict[int, int]]  # and the numbers of those that are tapped, with their channels


class Network(nn.Module):
    """Layers in a row, some of whose outputs are tapped; state-dict keys are those of torchvision.

    The weights are pretrained on ImageNet and frozen; `hash` tells them apart. Raises UsageError for weights that are
    not to be had (`pretrained.find`).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        with torch.device("meta"):  # random weights would cost time and the caller's random numbers
            layers, self.taps = _LAYERS[name]()
            self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        shapes = {key: tuple(tensor.shape) for key, tensor in self.state_dict().items()}
        state, self.hash = pretrained.read(pretrained.NETWORKS[name], shapes)
        self.load_state_dict(state, assign=True)
        self.requires_grad_(False).eval()
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # 1.6 times as fast on a processor

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images [B, 1 or 3, H, W] in [0, 1] -> the tapped layers, each [B, C, h, w].

        Grey images count as colour images with three equal channels. Raises UsageError for other numbers of channels.
        """
        x, found = (as_rgb(x) - self.mean) / self.std, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found.append(x)
        return found


def as_rgb(x: Tensor) -> Tensor:
    """Images [B, 1 or 3, H, W] -> [B, 3, H, W]; raises UsageError for other numbers of channels."""
    refuse_channels(x.shape[1])
    return x.expand(-1, 3, -1, -1)


def refuse_channels(count: int) -> None:
    """UsageError for images that these networks do not see."""
    if count not in (1, 3):
        raise UsageError(f"pretrained networks see grey or RGB images; these have {count} channels: choose 1 or 3")


class Fire(nn.Module):
    """A narrow 1×1 convolution, then 1×1 and 3×3 ones side by side (SqueezeNet, Iandola et al. 2016)."""

    def __init__(self, channels: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, wide, 1)
        self.expand3x3 = nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, 2 · wide, h, w]."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


def _alex() -> Layers:
    """Krizhevsky 2014, the output of each of five ReLUs."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for before, after in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return layers, {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}


def _vgg() -> Layers:
    """Simonyan & Zisserman 2015; relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.MaxPool2d(2)] if layers else []
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return layers, {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}


def _squeeze() -> Layers:
    """SqueezeNet 1.1; the first ReLU, the last Fire of each size, and each of the last four."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    layers += [Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True)]
    layers += [Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True)]
    layers += [Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)]
    return layers, {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}


_LAYERS = {"alex": _alex, "squeeze": _squeeze, "vgg": _vgg}
