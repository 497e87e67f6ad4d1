"""The sections of a recipe that are no parts: what may stand in each, and its type."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import Discriminator, PlainValidator, Tag

from vaelab.data.dataset import Dataset
from vaelab.data.scale import EIGHT_BIT, Scale
from vaelab.model import VAE
from vaelab.nn.conditioning import LabelledDecoder, LabelledEncoder
from vaelab.registry import Role, Seed, Size
from vaelab.registry.schema import Part, build, parse_part
from vaelab.runs.recipe import BY_HAND

# One size, or those of the levels of a hierarchy, the top level first.
Levels = Annotated[
    Annotated[Size, Tag("")] | Annotated[tuple[Size, ...], MinLen(1), Tag("[]")],
    Discriminator(lambda given: "[]" if isinstance(given, list) else ""),
]


@dataclass(frozen=True, kw_only=True)
class Model:
    """The `model` section: the parts of a VAE, and what joins them.

    - `latent_dim`: how many latents; of a hierarchy [top, …, bottom];
    - `backbone`: the networks of encoder and decoder;
    - `posterior`: q(z | x);
    - `prior`: p(z);
    - `likelihood`: p(x | z);
    - `condition`: what sees the class of an image;
    - `output_bias`: where the decoder's last bias begins, at the mean of the images with data.
    """

    latent_dim: Levels
    backbone: Annotated[Part, Role("backbone")]
    posterior: Annotated[Part, Role("posterior")] = Part("gaussian")
    prior: Annotated[Part, Role("prior")] = Part("normal")
    likelihood: Annotated[Part, Role("likelihood")] = Part("bernoulli")
    condition: tuple[Literal["encoder", "decoder", "prior"], ...] = ()
    output_bias: Literal["random", "data"] = "random"

    @property
    def levels(self) -> tuple[int, ...]:
        """Latent dimensions of each level, the top first."""
        return self.latent_dim if isinstance(self.latent_dim, tuple) else (self.latent_dim,)

    def compose(
        self,
        x_shape: tuple[int, int, int],
        classes: int = 0,
        steps_per_epoch: float | Fraction = 1,
        scale: Scale = EIGHT_BIT,
    ) -> VAE:
        """A model of these parts for images of a shape and so many classes, scaled like this."""
        sees, levels = self.condition, self.levels
        sizes = {"x_shape": x_shape, "latent_dim": sum(levels), "levels": levels, "top_dim": levels[0]}
        likelihood = build("likelihood", self.likelihood, "model.likelihood", grey_levels=scale.levels, **sizes)
        channels, *sides = x_shape
        encoder, decoder = build(
            "backbone",
            self.backbone,
            "model.backbone",
            x_shape=(channels + ("encoder" in sees), *sides),
            latent_dim=sum(levels) + classes * ("decoder" in sees),
            out_channels=likelihood.params_per_channel * channels,
            levels=levels,
            steps_per_epoch=steps_per_epoch,
            every_stage=likelihood.every_stage,
        )
        encoder = LabelledEncoder(encoder, x_shape, classes) if "encoder" in sees else encoder
        decoder = LabelledDecoder(decoder, classes) if "decoder" in sees else decoder
        posterior = build("posterior", self.posterior, "model.posterior", encoder=encoder, **sizes)
        classes = classes if sees else 0
        labels = {"classes": classes, "conditional": "prior" in sees}
        prior = build("prior", self.prior, "model.prior", **labels, **sizes)
        model = VAE(prior, posterior, decoder, likelihood, classes)
        model.scale = scale
        return model


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """The `evaluate` section: what is measured of the validation images while training.

    - `metrics`: names, or names with options: {kind: frechet, pca_dim: 64};
    - `every`: epochs between two measurements; the last epoch is measured as well;
    - `n`: samples to judge; as many as there are validation images unless given;
    - `sampler`: of the latents of these samples;
    - `pixels`: of p(x | z), its mean or a draw; draws where images are binarised, else means;
    - `seed`: of the samples.
    """

    metrics: tuple[Annotated[Part, Role("metric")], ...]
    every: Size = 1
    n: Size | None = None
    sampler: Annotated[Part, Role("sampler")] = Part("prior")
    pixels: Literal["mean", "sample"] | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        kinds = [metric.kind for metric in self.metrics]
        if twice := [kind for i, kind in enumerate(kinds) if kind in kinds[:i]]:
            raise ValueError(f"{twice[0]} stands twice among its metrics; its numbers have one name, so leave one out")


def given_data(data: Dataset) -> dict[str, Any]:
    """The `data` section of a run on a set that its caller has: what it is known again by, and how it is seen."""
    seen = {"binary": data.binary, "dynamic": data.dynamic, "flip": data.flip}
    return {"kind": data.name, "given": BY_HAND, "images": data.digest} | {
        k: True for k, is_so in seen.items() if is_so
    }


def read_data(given: Any, where: str, problems: list[str]) -> Part:
    """A registered set, or the note of a run on one that its caller had."""
    part = Part.of(given)
    if part and {"given", "images"} <= part.options.keys() <= {"given", "images", "binary", "dynamic", "flip"}:
        return part
    return parse_part("data", given, where, problems)


def _expectation(given: Any) -> Mapping[str, Any]:
    bounds = ("at_most", "at_least", "value", "tolerance")
    numbers = [given[k] for k in bounds if k in given] if isinstance(given, Mapping) else []
    if not numbers or not all(isinstance(n, int | float) for n in numbers):
        raise ValueError("numbers as at_most, at_least or value, tolerance")
    return given


def _alterations(given: Any) -> Mapping[str, Any]:
    noted = given if isinstance(given, Mapping) else {}
    by, lengths = noted.get("by"), [noted[k] for k in ("epochs", "steps") if k in noted]
    texts = isinstance(by, list) and all(isinstance(text, str) for text in by)
    if not texts or not all(isinstance(n, int | float) for n in lengths):
        raise ValueError("what a run notes of overrides, which elsewhere is left out")
    return noted


# A number that a recipe is to reach: {at_least: …}, {at_most: …} or {value: …, tolerance: …}.
Expectation = Annotated[Mapping[str, Any], PlainValidator(_expectation)]
# The overrides that decide what a run reaches, `by`, and the length of the recipe's own run in `epochs` or `steps`.
Alterations = Annotated[Mapping[str, Any], PlainValidator(_alterations)]
