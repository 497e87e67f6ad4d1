"""The engine: from a model, an objective and images to trained weights in a run folder."""
