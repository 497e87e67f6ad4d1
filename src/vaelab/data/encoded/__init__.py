"""Encoded images, wherever they lie: found, looked at, decoded once or live."""
