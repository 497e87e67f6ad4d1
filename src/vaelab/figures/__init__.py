"""Figures of a run: each a function of its model, its data or its log, which gives a matplotlib figure."""

from vaelab.registry import discover

discover(__name__)
