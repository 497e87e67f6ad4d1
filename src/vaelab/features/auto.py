"""The extractor that suits a set."""

import torch

from vaelab.data.source import Dataset
from vaelab.features.classifier import Classifier, has_classes
from vaelab.features.extraction import Extractor
from vaelab.features.squeezenet import SqueezeNet
from vaelab.registry import register


@register("extractor", "auto")
def auto(data: Dataset, device: torch.device) -> Extractor:
    """`classifier` where the training images have labels of several classes, else `squeezenet`."""
    return Classifier(data, device) if has_classes(data) else SqueezeNet(device)
