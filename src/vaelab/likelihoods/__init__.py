"""What an image is, given the decoder's output: modules that return distributions over x."""

from vaelab.registry import discover

discover(__name__)
