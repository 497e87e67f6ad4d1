"""Networks that turn images into features, on which distributions of images are compared."""

from vaelab.registry import discover

discover(__name__)
