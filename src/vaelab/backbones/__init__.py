"""Pairs of an encoder and a decoder, as plain modules."""

from vaelab.registry import discover

discover(__name__)
