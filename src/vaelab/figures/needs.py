"""What a run must have so that a figure can be drawn of it, where not every run has it."""

NEEDS = {
    "manifold": "2 latent dimensions, and a model that is not conditional",
    "classes": "a conditional model (model.condition)",
    "pseudo_inputs": "a prior of pseudo-inputs, such as vamp",
    "prior_samples": "a prior that is learned",
    "level_kl": "latents of several levels",
    "level_traversals": "latents of several levels",
    "timeline": "a backbone that grows, such as progressive",
    "stages": "a backbone that grows, such as progressive",
    "convergence": "the likelihood measured by several draws, as the metric likelihood does",
    "interpolations": "two test images or more",
    "training_losses": "a log",
    "kl_ratio": "a log",
}
