"""Trackers: readers of a run folder that show it elsewhere, while it is trained or later."""

from vaelab.registry import discover

discover(__name__)
