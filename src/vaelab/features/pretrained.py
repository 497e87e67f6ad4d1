"""Pretrained weights: where their files are, where they come from, and what hash tells them apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vaelab.errors import Damaged, Unavailable
from vaelab.io import files, places
from vaelab.io.hashing import file_hash

CHECKPOINTS = "weights/torch_home/hub/checkpoints"  # torch's hub folder, within a data directory


@dataclass(frozen=True)
class Weights:
    """A published file of weights: its name in torch's hub folder, its place in a data directory, its address."""

    name: str
    path: str
    url: str
    sha256: str  # the first digits
    exact: bool = True  # refuse another file; else one whose tensors have the right names and shapes will do


def _torchvision(name: str) -> Weights:
    """Its names end in the hash; copies whose weights were rounded are in use, and say so by their own hash."""
    sha256 = name.removesuffix(".pth").split("-")[-1]
    return Weights(name, f"{CHECKPOINTS}/{name}", f"https://download.pytorch.org/models/{name}", sha256, exact=False)


def _lpips(net: str, sha256: str) -> Weights:
    url = f"https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/{net}.pth"
    return Weights(f"lpips_v0.1_{net}.pth", f"weights/lpips/{net}.pth", url, sha256)


NETWORKS = {
    "alex": _torchvision("alexnet-owt-7be5be79.pth"),
    "squeeze": _torchvision("squeezenet1_1-b8a52dc0.pth"),
    "vgg": _torchvision("vgg16-397923af.pth"),
}
LPIPS_HEADS = {
    "alex": _lpips("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
    "squeeze": _lpips("squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"),
    "vgg": _lpips("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
}
INCEPTION = Weights(
    name="weights-inception-2015-12-05-6726825d.pth",
    path=f"{CHECKPOINTS}/weights-inception-2015-12-05-6726825d.pth",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
)


def find(weights: Weights) -> tuple[Path, str]:
    """The file and 12 digits of its sha256: from torch's hub folder (`TORCH_HOME`), a data directory or a download.

    Raises Unavailable for a file that is not to be had, naming places and address, UsageError for a damaged one.
    """
    hub = Path(torch.hub.get_dir()) / "checkpoints" / weights.name
    path = hub if hub.is_file() else places.locate(weights.path)
    if path is not None:
        return path, _verify(path, weights.sha256 if weights.exact else "")
    try:
        path = places.fetch(places.File(weights.path, weights.url), check=lambda file: _verify(file, weights.sha256))
    except Unavailable as error:
        raise Unavailable(f"the weights {weights.name} are not in {hub.parent}; {error.problem}", error.get) from error
    return path, _verify(path)


def _verify(path: Path, begin: str = "") -> str:
    """12 digits of the file's sha256; Damaged where that should begin with others."""
    with files.parsing(path):
        sha256 = file_hash(path)
    if not sha256.startswith(begin):
        raise Damaged(path, f"its sha256 is {sha256} and should begin with {begin}")
    return sha256[:12]


def read(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Tensor], str]:
    """The tensors of these names and shapes, others ignored, and the file's hash; errors as in `find`."""
    path, sha256 = find(weights)
    with files.parsing(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {name: state[name].float() for name in shapes}
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise Damaged(path, f"{name} has the shape {tuple(tensors[name].shape)} and should have {shape}")
    return tensors, sha256
