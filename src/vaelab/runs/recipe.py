"""The recipe of a run as it was stored, read without checking it: what can be told of it although it is damaged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError
from vaelab.io.strict_yaml import read_yaml
from vaelab.registry.schema import Part
from vaelab.runs.log import finite

DEFAULTS = {"posterior": "gaussian", "prior": "normal", "likelihood": "bernoulli"}
SECTIONS = ("train", "model", "paper", "expect", "altered")  # that are maps
OF_KIND = ("data", "objective")  # that may be a kind alone
NO_LIKELIHOODS = ("perceptual", "pyramid")  # kinds of a model's likelihood that are a loss, and no log p(x | z)
OF_TEST_IMAGES = ("train_size", "flip", "colours")  # options of data that leave the test images as they are

BY_HAND = "by hand"  # the note of who composed a model that no recipe describes


@dataclass(frozen=True)
class StoredRecipe:
    """The sections of a recipe, empty where it cannot be read, and its provenance: name, command, versions."""

    sections: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> tuple["StoredRecipe", list[str]]:
        """The recipe in a file, and what is wrong with it."""
        if not path.is_file():
            return cls(), ["there is no recipe.yaml, so what was trained is not known"]
        try:
            found = read_yaml(path)
        except UsageError as error:
            return cls(), [str(error)]
        provenance = found.pop("made", {})
        odd = [key for key in SECTIONS if not isinstance(found.get(key, {}), dict)]
        odd += [key for key in OF_KIND if not isinstance(found.get(key, {}), dict | str)]
        kept = cls(
            {key: value for key, value in found.items() if key not in odd},
            provenance if isinstance(provenance, dict) else {},
        )
        return kept, [f"recipe.yaml: {key} is no section" for key in odd]

    def section(self, name: str) -> Mapping[str, Any]:
        """A section, empty where there is none; one that is a kind alone is {"kind": …}."""
        found = self.sections.get(name, {})
        return {"kind": found} if isinstance(found, str) else found

    @property
    def name(self) -> str:
        """The recipe's name, "" where that is not known."""
        return str(self.provenance.get("name", ""))

    @property
    def binary(self) -> bool:
        """Whether it binarises its images, or those that its caller had are binary."""
        data = self.section("data")
        return data.get("binarise", "none") != "none" or bool(data.get("binary"))

    @property
    def by_hand(self) -> bool:
        """Whether its model was composed by hand, so that these sections cannot build it."""
        return self.provenance.get("composed") == BY_HAND

    @property
    def data_dir(self) -> str | None:
        """Where its images were, None where the caller did not say."""
        found = self.provenance.get("data_dir")
        return found if isinstance(found, str) else None

    @property
    def data(self) -> str:
        """The name of its set of images, or of their folder; "" where that is not known."""
        data = self.section("data")
        path = data.get("path")
        return Path(str(path)).name if data.get("kind") == "folder" and path else str(data.get("kind", ""))

    @property
    def test_images(self) -> dict[str, Any]:
        """All that decides the images that it is judged on."""
        return {key: value for key, value in self.section("data").items() if key not in OF_TEST_IMAGES}

    @property
    def colours(self) -> tuple[int, int, int] | None:
        """The channels that it shows as red, green and blue, where it says so."""
        match self.section("data").get("colours"):
            case [int(red), int(green), int(blue)]:
                return red, green, blue
        return None

    @property
    def objective(self) -> str:
        """The kind of its objective."""
        return part_of(self.sections.get("objective")).kind

    def part(self, role: str) -> Part:
        """A part of the model, of no kind where the recipe does not say."""
        return part_of(self.section("model").get(role, DEFAULTS.get(role)))

    @property
    def levels(self) -> list[int]:
        """Latent dimensions of each level, the top first; empty where there is one level alone, or none is known."""
        sizes = self.section("model").get("latent_dim")
        return sizes if isinstance(sizes, list) and all(isinstance(size, int) for size in sizes) else []

    @property
    def is_likelihood(self) -> bool:
        """Whether the model scores images by log p(x | z), and not by another loss."""
        return self.part("likelihood").kind not in NO_LIKELIHOODS

    @property
    def bound(self) -> str:
        """The name of its validation loss."""
        if not self.is_likelihood:
            return "loss at β = 1"
        kind = self.objective
        return {"elbo": "−ELBO", "iwae": "−IWAE bound", "": "−bound"}.get(kind, f"−bound of {kind}")

    def number(self, section: str, key: str) -> float | None:
        """A number among the options of a section."""
        return finite(self.section(section), key)


def part_of(given: Any) -> Part:
    """The part that is given, of no kind where it is none."""
    return Part.of(given) or Part("")
