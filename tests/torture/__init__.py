"""Campaigns that try to break vaelab: random kills, mutated recipes, hostile files. `make torture` runs all of each."""
