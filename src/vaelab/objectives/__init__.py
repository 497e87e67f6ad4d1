"""What is minimised: functions of a model's Terms."""

from vaelab.registry import discover

discover(__name__)
