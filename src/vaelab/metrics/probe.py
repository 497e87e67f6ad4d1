"""What simple classifiers read from the latents."""

import torch
from torch import Tensor

from vaelab.data.source import Dataset, Split
from vaelab.distributions.latent import location
from vaelab.errors import NotApplicable
from vaelab.metrics.batches import batches
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.model import VAE
from vaelab.nn.conditioning import LabelledEncoder
from vaelab.registry import Seed, Size, register

ABOUT = About(
    "Probe",
    {
        "probe_linear": Value("Linear probe, accuracy", better="higher"),
        "probe_knn": Value("Neighbour probe, accuracy", "", "higher", "classes from codes", rank=12),
    },
    quick=True,
)


@register("metric", "probe", ABOUT)
def probe(
    model: VAE, split: Split, data: Dataset, *, training_images: Size = 10_000, neighbours: Size = 5, seed: Seed = 0
) -> Measurement:
    """Accuracy of classifiers that see the posterior means only, fitted on `training_images` at most.

    `probe_linear`: logistic regression on standardised means (Alain & Bengio 2017); `probe_knn`: a vote of the nearest
    `neighbours`. Intervals are over the judged images.
    """
    if split.labels is None or data.train.labels is None:
        raise NotApplicable("a probe needs labels; take a data set with classes")
    if any(isinstance(module, LabelledEncoder) for module in model.modules()):
        raise NotApplicable("the encoder is given the class that a probe would read from the latents")
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    train = data.as_seen()[order[:training_images]]
    seen, counts = train.labels.unique(return_counts=True)  # pyright: ignore[reportOptionalMemberAccess]
    if len(seen) < 2:
        raise NotApplicable("a probe needs at least two classes among the training images")
    if len(train) < neighbours:
        raise NotApplicable(f"probe needs {neighbours} training images, has {len(train)}; lower probe.neighbours")
    columns = hits(
        posterior_means(model, train),
        train.labels,  # pyright: ignore[reportArgumentType]
        posterior_means(model, split),
        split.labels,
        neighbours,
    )
    commonest = (split.labels == seen[counts.argmax()]).double().mean().item()
    protocol = {"fitted_on": len(train), "judged_on": len(split), "classes": len(seen), "chance": commonest}
    protocol |= {"chance_is": "always the commonest class of the training images"}
    found = Measurement.over_images(columns, protocol)
    unseen = int((~torch.isin(split.labels, seen)).sum())
    if unseen:
        found.notes.append(f"{unseen} images are of classes that no training image has; they count as errors")
    if split is data.train:
        found.notes.append("the probe is judged on the images that it is fitted on; each is its own nearest neighbour")
    return found


def hits(means: Tensor, labels: Tensor, judged: Tensor, truth: Tensor, neighbours: int = 5) -> dict[str, Tensor]:
    """Which of the judged means [M, D] each classifier, fitted on means [N, D], names rightly: bool [M] by name."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifiers = {
        "probe_linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "probe_knn": KNeighborsClassifier(neighbours),
    }
    return {
        name: torch.from_numpy(c.fit(means.numpy(), labels.numpy()).predict(judged.numpy())) == truth
        for name, c in classifiers.items()
    }


@torch.no_grad()
def posterior_means(model: VAE, split: Split) -> Tensor:
    """E[z | x] of the images, or where a flow hides it the image of its base's mean: float64 [N, D] on the CPU."""
    return torch.cat([location(model.q_z(x, y)).cpu().double() for x, y in batches(model, split)])
