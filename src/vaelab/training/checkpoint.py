"""Files that are written whole or not at all: weights to use, and everything needed to carry on."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vaelab.errors import UsageError
from vaelab.files import write_whole

FORMAT = 3  # of what a checkpoint holds


def save_model(path: Path, model: nn.Module, metadata: dict[str, str]) -> None:
    """Weights and buffers as safetensors."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_whole(path, lambda file: file.write_bytes(save(tensors, metadata)))


def read_model(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a `model.safetensors`."""
    if not path.is_file():
        begun = "training has not finished an epoch there, or a growing model not its stages"
        there = begun if path.parent.is_dir() else "the folder does not exist"
        raise UsageError(f"no {path.name} in {path.parent}: {there}; train it or name another run")
    try:
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is not a readable model file ({error}); restore it or train again") from error


def save_state(path: Path, state: dict[str, Any]) -> None:
    """A checkpoint to carry on from."""
    write_whole(path, lambda file: torch.save({"format": FORMAT} | state, file))


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """A checkpoint written by `save_state`; nothing in it is executed."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds, all of which mean the same
        message = f"{path} is not a readable checkpoint; delete it to start this run again, or restore it"
        raise UsageError(message) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UsageError(
            f"{path} is of another version of vaelab; carry on with that one, or move it away to start this run again"
        )
    return state
