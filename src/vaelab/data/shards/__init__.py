"""Tar shards, and where the images lie in them."""
