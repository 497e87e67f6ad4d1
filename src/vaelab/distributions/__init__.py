"""Densities and samplers that are one object."""
