"""Figures: arrays in, a matplotlib figure out; nothing here knows a model."""

from vaelab.registry import discover

discover(__name__)
