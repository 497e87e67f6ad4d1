"""A look at the heads of image files before they are decoded: whether all are of one size, depth and kind."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vaelab.data.axes import CHANNELS
from vaelab.data.encoded.ahead import attempt
from vaelab.data.encoded.decode import shape_in
from vaelab.data.encoded.files import ImageFiles
from vaelab.data.encoded.tiff import Shape
from vaelab.errors import MixedSizes, UsageError
from vaelab.io.formatting import counted
from vaelab.io.progress import Bar

LOOKED_AT = 1000  # files, evenly spaced, before all are
NAMED, LISTED = 3, 5  # files of each kind, and kinds, in a sentence
BITS = {"uint8": "8 bits", "uint16": "16 bits", "float32": "real numbers"}


def check_alike(files: ImageFiles, where: Path, framed: Callable[[Shape], Shape]) -> None:
    """UsageError, as of `look`, where some of up to LOOKED_AT images differ; takes a blink of an eye."""
    step = -(-len(files) // LOOKED_AT)
    if len(_kinds(_shapes(files, range(0, len(files), step))[0], framed)) > 1:
        look(files, where, framed)


def look(
    files: ImageFiles, where: Path, framed: Callable[[Shape], Shape]
) -> tuple[dict[Shape, list[int]], dict[int, str]]:
    """The numbers of the images of each shape that files have, and why the others cannot be read.

    UsageError with counts and names where images come out in several sizes, depths, or numbers of channels. `framed`
    is the shape that an image comes out in; its channels are 0 where any number will do.
    """
    with Bar(f"looking at {where.name}", len(files)) as bar:
        shapes, broken = _shapes(files, range(len(files)), bar)
    kinds = _kinds(shapes, framed)
    depths = _grouped(kinds, lambda shape: BITS[shape.depth])
    channels = _grouped(kinds, lambda shape: counted(shape.channels, "channel"))
    sizes = _grouped(kinds, lambda shape: f"{shape.height}×{shape.width}")
    if len(depths) > 1:
        fix = "convert all images to one depth, or remove the others"
        raise UsageError(f"{where} holds images of several depths: {_listed(depths, files)}", fix)
    if len(channels) > 1:
        fix = "set data.channels to 1 or 3 where that is meant, or remove the others"
        raise UsageError(f"{where} holds images of several kinds: {_listed(channels, files)}", fix)
    if len(sizes) > 1:
        what = f"{where} holds images of several sizes (height × width): {_listed(sizes, files)}"
        raise MixedSizes(what, min(min(shape.height, shape.width) for shape in kinds))
    return shapes, broken


def _shapes(
    files: ImageFiles, numbers: Sequence[int], bar: Bar | None = None
) -> tuple[dict[Shape, list[int]], dict[int, str]]:
    shapes: dict[Shape, list[int]] = {}
    broken: dict[int, str] = {}
    for i in numbers:
        if bar:
            bar.update(1)
        shape = attempt(shape_in, files.names[i], files.open(i))
        if isinstance(shape, str):
            broken[i] = shape
            continue
        if shape.channels > CHANNELS:
            fix = "set data.pages=images if each is an image of its own, or leave some out"
            raise UsageError(f"{files.names[i]} has {shape.channels} channels, and {CHANNELS} are the most", fix)
        shapes.setdefault(shape, []).append(i)
    return shapes, broken


def _kinds(shapes: dict[Shape, list[int]], framed: Callable[[Shape], Shape]) -> dict[Shape, list[int]]:
    """The numbers of the images that come out in each shape."""
    kinds: dict[Shape, list[int]] = {}
    for shape, numbers in shapes.items():
        kinds.setdefault(framed(shape), []).extend(numbers)
    return kinds


def _grouped(kinds: dict[Shape, list[int]], name: Callable[[Shape], str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for shape, numbers in kinds.items():
        groups[name(shape)] = groups.get(name(shape), []) + numbers
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def _listed(groups: dict[str, list[int]], files: ImageFiles) -> str:
    """1,203 of 28×28 (a.png, b.png, c.png, …), 1 of 32×32 (d.png)."""
    parts = []
    for name, numbers in list(groups.items())[:LISTED]:
        named = [*sorted(files.names[i] for i in numbers)[:NAMED], *["…"] * (len(numbers) > NAMED)]
        parts.append(f"{len(numbers):,} of {name} ({', '.join(named)})")
    return ", ".join([*parts, *[f"and {len(groups) - LISTED:,} more"] * (len(groups) > LISTED)])
