"""The extractor that suits a set."""

import math

import torch

from vaelab.data.source import Dataset
from vaelab.features.classifier import Classifier, has_classes
from vaelab.features.extraction import Extractor
from vaelab.features.pca import DIMS, PCA
from vaelab.features.pixels import Pixels
from vaelab.features.squeezenet import SqueezeNet
from vaelab.registry import register


@register("extractor", "auto")
def auto(data: Dataset, device: torch.device) -> Extractor:
    """`classifier` where the training images have labels of several classes, else `squeezenet`.

    The latter sees grey and colour; of other channels `pca`, or `pixels` where images or pixels are few.
    """
    if has_classes(data):
        return Classifier(data, device)
    if data.x_shape[0] in (1, 3):
        return SqueezeNet(device)
    return PCA(data, device) if min(len(data.train), math.prod(data.x_shape)) >= DIMS else Pixels(device)
