"""Declaration of a figure: what a page says of it, and when it is drawn and missed."""

from dataclasses import dataclass

from vaelab.registry import about


@dataclass(frozen=True)
class About:
    """Title and caption of a figure on a page; without a caption no page shows it.

        @register("figure", "brightness", About("Brightness", "How bright samples are, beside real images."))
        def brightness(model: VAE, split: Split, *, title: str = "Brightness") -> Figure: ...

    A figure names what it needs of model, data, split, rows, results, grown and bound (see `evaluation.figures.draw`),
    and raises NotApplicable, which says "it needs …", where a run has no such figure.
    """

    title: str
    caption: str = ""
    progress: str = ""  # the name of its file while training, `epoch_0001_NAME.png`; "" where it is drawn at the end
    first: bool = False  # whether it stands before all else
    usual: bool = False  # whether a page says where it is missing …
    part: tuple[str, str] | None = None  # … of runs with this part, as ("prior", "vamp")


def about_figure(name: str) -> About:
    """The declaration of a figure; of one that has none its name."""
    found = about("figure", name)
    return found if isinstance(found, About) else About(name.replace("_", " ").capitalize(), "A figure of a plugin.")
