"""Recipes: an experiment as data, checked and resolved."""
