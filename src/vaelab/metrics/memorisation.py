"""Whether samples are copies of training images."""

import math

import torch
from torch import Tensor

from vaelab.data.source import Dataset, Split
from vaelab.data.stored import Images
from vaelab.errors import NotApplicable
from vaelab.features.extraction import features
from vaelab.metrics.feature_pairs import Features, feature_pair
from vaelab.metrics.intervals import ENOUGH, Interval, score_interval, student, too_few
from vaelab.metrics.measurement import About, Measurement, Value
from vaelab.metrics.neighbours import nearest
from vaelab.registry import Fraction, register

TRAINING_IMAGES = 60_000  # the first; more cost time and add little
BESIDE = 5  # held-out images on either side of the quantile, for an interval of it
ALARM = 5.0  # standard errors, which chance does not reach
INTERVAL = "memorised: over generated and held-out images; train_share: over real images, with all that each attracts"
ABOUT = About(
    "Memorisation",
    {
        "memorised": Value("Memorised", meaning="copied samples ↓", rank=11),
        "nearest_ratio": Value("Nearest training image, samples to real ones"),
        "copying_z": Value("Copying, z-score"),
        "train_share": Value("Nearer to training than to test images"),
    },
    quick=True,
)


@register("metric", "memorisation", ABOUT)
def memorisation(
    split: Split,
    data: Dataset,
    fake: Tensor,
    device: torch.device,
    *,
    quantile: Fraction = 0.01,
    extractor: Features = "auto",
) -> Measurement:
    """Whether generated images lie nearer to the training images than held-out real ones do.

    By the distance to the nearest training image:

    - `memorised`: share of generated images below the `quantile` of the held-out ones, so `quantile` is innocent;
    - `nearest_ratio`: median of the generated over median of the held-out;
    - `copying_z`: Mann-Whitney test in standard deviations, below 0 for generated ones nearer (Meehan et al. 2020, C_T
      with one cell; ties uncorrected).

    Blurred images are near to everything, so beside them `train_share`: of generated images, the share that is nearer
    to the training images than to equally many held-out ones; ½ is innocent, whatever the blur. Raises NotApplicable
    where the held-out images are the training images.
    """
    if _same(split.images, data.train.images):
        raise NotApplicable("memorisation compares with real images that were not trained on; judge on another split")
    train = data.as_seen()[:TRAINING_IMAGES].images
    pair = feature_pair(extractor, split, fake, device)
    known = features(extractor, train, keep=True).to(pair.real.device)
    innocent, suspect = nearest(pair.real, known).values, nearest(pair.fake, known).values
    memorised, of_memorised = memorised_share(suspect, innocent, quantile)
    share, of_share = train_share(pair.fake, known, pair.real)
    values = {
        "memorised": memorised,
        "nearest_ratio": (suspect.median() / innocent.median().clamp(min=1e-12)).item(),
        "copying_z": copying_z(suspect, innocent),
        "train_share": share,
    }
    expected = quantile + ALARM * math.sqrt(quantile * (1 - quantile) * (1 / len(suspect) + 1 / len(innocent)))
    near = values["copying_z"] < -ALARM or memorised > expected
    intervals, notes = _intervals(
        memorised=(of_memorised, len(innocent), math.ceil(BESIDE / max(min(quantile, 1 - quantile), 1e-9))),
        train_share=(of_share, min(len(suspect), len(innocent), len(known)), ENOUGH),
    )
    protocol = pair.protocol | {"training_images": len(known), "interval": INTERVAL}
    return Measurement(values, intervals, protocol, notes=[_verdict(of_share[0] > 0.5), *notes] if near else notes)


def _same(a: Tensor | Images, b: Tensor | Images) -> bool:
    return a is b or (isinstance(a, Tensor) and isinstance(b, Tensor) and a.data_ptr() == b.data_ptr())


def _intervals(**found: tuple[Interval, int, int]) -> tuple[dict[str, Interval], list[str]]:
    """Those that rest on enough images, and a note on each other: name = interval, images, images that it takes."""
    kept = {name: interval for name, (interval, count, enough) in found.items() if count >= max(enough, ENOUGH)}
    few = {name: too_few(count, max(enough, ENOUGH)) for name, (_, count, enough) in found.items() if name not in kept}
    return kept, [f"{name}: {why}" for name, why in few.items()]


def copying_z(suspect: Tensor, innocent: Tensor) -> float:
    """Mann-Whitney U of two samples [M], [N] in standard deviations; below 0 where the first is smaller."""
    ordered, (m, n) = innocent.sort().values, (len(suspect), len(innocent))
    below, up_to = (torch.searchsorted(ordered, suspect, right=right).double().sum() for right in (False, True))
    return (((below + up_to) / 2 - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)).item()


def train_share(fake: Tensor, train: Tensor, held: Tensor) -> tuple[float, Interval]:
    """Share of `fake` nearer to `train` than to as many `held`, ties half, and a 95 % interval.

    Some real images attract many others, so they are what is counted: as many as would scatter like their attraction.
    One that attracts all counts as one, whichever set it is in.
    """
    count = min(len(train), len(held))
    to_train, to_held = nearest(fake, _thinned(train, count)), nearest(fake, _thinned(held, count))
    won = ((to_held.values - to_train.values).sign().double() + 1) / 2
    owner = torch.where(to_train.values <= to_held.values, to_train.indices, count + to_held.indices)
    attracted = owner.bincount(minlength=2 * count).double().view(2, count)
    scatter = attracted.var(1, correction=0).sum().item() * count  # around each set's mean: counts are fixed
    share, alike = won.mean().item(), min(len(fake), len(fake) ** 2 / max(scatter, 1.0))
    return share, score_interval(share, alike, student())


def memorised_share(suspect: Tensor, innocent: Tensor, share: float) -> tuple[float, Interval]:
    """Share of `suspect` below that quantile of `innocent`, and a 95 % interval that lets both samples vary.

    The n-th of N innocent ones is taken for their quantile n / (N + 1), below which a further one lies as often. The
    quantile's error moves the share by its slope, taken over two standard errors to either side.
    """
    count, error = len(innocent), math.sqrt(share * (1 - share) / len(innocent))
    levels = torch.tensor([share, share - 2 * error, share + 2 * error], dtype=torch.double)
    levels = levels.clamp(1 / (count + 1), count / (count + 1))
    places = ((levels * (count + 1) - 1) / max(1, count - 1)).clamp(0, 1)  # which rounding may leave by 1e-16
    limits = innocent.cpu().double().quantile(places)
    found, low, high = ((suspect.cpu() < limit).double().mean().item() for limit in limits)
    slope = (high - low) / (levels[2] - levels[1]).clamp(min=1e-12).item()
    variance = found * (1 - found) / len(suspect) + (slope * error) ** 2
    told = variance and 0 < found < 1  # whether there is scatter, by which to tell how many hits are independent
    alike = found * (1 - found) / variance if told else min(len(suspect), len(innocent))
    return found, score_interval(found, alike, student())


def _thinned(x: Tensor, count: int) -> Tensor:
    return x[torch.linspace(0, len(x) - 1, count, device=x.device).round().long()]


def _verdict(prefers_training: bool) -> str:
    """What it means that samples lie unusually near to training images."""
    if prefers_training:
        return "samples are nearer to training images than held-out images are, and than to held-out images: copying"
    return (
        "samples are nearer to training images than held-out images are, but as a whole not nearer than to held-out "
        "images: smooth or typical rather than copies, though single copies may be among them"
    )
