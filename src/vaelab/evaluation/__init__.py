"""Judging: a trained model, or images of any kind, measured, compared and drawn."""
