"""What can be measured of a model on a split of images; each number with the protocol that gave it."""

from vaelab.registry import discover

discover(__name__)
