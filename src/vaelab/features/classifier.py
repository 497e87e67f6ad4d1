"""A small network that has learned to tell a set's own classes apart, in seconds on a processor."""

import contextlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from vaelab.data.images import to_floats
from vaelab.data.source import Dataset
from vaelab.data.stored import Images
from vaelab.distributions.seeds import seeded
from vaelab.errors import UsageError, VaelabError
from vaelab.features.extraction import sha256
from vaelab.io import files, places
from vaelab.io.progress import Bar
from vaelab.registry import register

SIDE = 32
STEPS, EPOCHS, ROWS = 1000, 30, 128  # of training: so many steps, or epochs where that is less
LEARNING_RATE = 6e-3  # the peak of its cycle


@register("extractor", "classifier")
class Classifier:
    """The last hidden layer, F = 128, of a convolutional network trained on a set's own images and labels.

    On training and validation images together, so that it does not depend on where they are cut; always on the CPU
    from the same random numbers: at most 1000 steps of AdamW on 128 images each, the learning rate in one cycle (Smith
    & Topin 2018). Kept by content below `cache()/classifiers`. `accuracy` is that on the test images. Raises
    UsageError for a set without labels of several classes.
    """

    name, resize = "classifier", f"bilinear with antialiasing to {SIDE}×{SIDE}"

    def __init__(self, data: Dataset, device: torch.device) -> None:
        if not has_classes(data):
            raise UsageError(f"a classifier needs labels of several classes, which {data.name} has not; try squeezenet")
        self.network = _trained(data).requires_grad_(False).to(device)
        self.device, self.hash = device, sha256(self.network.state_dict().values())[:12]
        guesses = torch.cat([self.network(self._input(x)).argmax(1).cpu() for x in data.test.images.split(ROWS)])
        self.accuracy = (guesses == data.test.labels).double().mean().item()

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W], uint8 or in [0, 1] -> float32 [B, F]."""
        return self.network[:-1](self._input(images))

    def _input(self, images: Tensor) -> Tensor:
        return _resized(to_floats(images.to(self.device)))


def has_classes(data: Dataset) -> bool:
    """Whether the training images have labels of several classes."""
    return data.train.labels is not None and len(data.train.labels.unique()) > 1


def _trained(data: Dataset) -> nn.Sequential:
    """From the cache, or trained now."""
    path = places.cache() / "classifiers" / f"{_key(data)}.safetensors"
    with seeded(0), torch.enable_grad():
        classes = max(int(split.labels.max()) for split in (data.train, data.valid) if split.labels is not None) + 1
        network = _network(data.x_shape[0], classes)
        with contextlib.suppress(OSError, RuntimeError, SafetensorError):  # not there, or not whole
            network.load_state_dict(load_file(path))
            return network
        _train(network, data)
        with contextlib.suppress(VaelabError):  # a full disk costs the time of another training, not the numbers
            files.write_whole(path, lambda target: target.write_bytes(save(network.state_dict())))
    return network


def _key(data: Dataset) -> str:
    """What tells its training from others: the images themselves, or where these are not in memory the set's digest."""
    settings = (SIDE, STEPS, EPOCHS, ROWS, LEARNING_RATE, data.dynamic, data.flip)
    content = [t for split in (data.train, data.valid) for t in (split.images, split.labels) if t is not None]
    tensors = [t for t in content if isinstance(t, Tensor)]
    return sha256(tensors, *settings) if len(tensors) == len(content) else sha256([], *settings, data.digest)


def _network(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (SIDE // 4) ** 2, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


def _train(network: nn.Sequential, data: Dataset) -> None:
    """Cross-entropy of images as a model in training sees them, in shuffled epochs."""
    count = len(data.train) + len(data.valid)
    steps = min(STEPS, -(-EPOCHS * count // ROWS))
    order = torch.cat([torch.randperm(count) for _ in range(-(-steps * ROWS // count))])
    labels = torch.cat([split.labels for split in (data.train, data.valid) if split.labels is not None])
    optimizer = torch.optim.AdamW(network.parameters())
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    with Bar("training a classifier", steps) as bar:
        for index in order[: steps * ROWS].split(ROWS):
            images = _counted_through(data.train.images, data.valid.images, index)
            loss = cross_entropy(network(_resized(data.augment(images))), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
            bar.update(1)


def _counted_through(first: Tensor | Images, second: Tensor | Images, index: Tensor) -> Tensor:
    """Rows of the images of two splits, the second's numbered after the first's."""
    rows, held = first[index.clamp(max=len(first) - 1)], index >= len(first)
    rows[held] = second[index[held] - len(first)]
    return rows


def _resized(x: Tensor) -> Tensor:
    return interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
