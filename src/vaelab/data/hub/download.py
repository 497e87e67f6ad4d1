"""Sets on the Hugging Face hub, downloaded by name through `datasets`, which says nothing of its own meanwhile."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError
from vaelab.io.progress import Bar
from vaelab.registry import hint

ANSWER = 10  # seconds that the hub may take for one
SILENT = 100  # a level of logging above all


def downloaded(name: str, config: str | None) -> dict[str, list[Path]]:
    """The Arrow files of each split of a set on the hub, from the cache of `datasets` or downloaded into it.

    UsageError for a name or a `config` that the hub does not have, and for a hub that cannot be reached.
    """
    try:
        datasets, hub = import_module("datasets"), import_module("huggingface_hub")
    except ImportError as error:
        problem = f"{name!r} is no folder, and sets on the hub are read by datasets; pip install 'vaelab[huggingface]'"
        raise UsageError(problem) from error
    with _quiet(datasets, hub), Bar(f"getting {name}"):
        try:
            if _answers(datasets, hub, name):
                config = chosen_config(name, config, datasets.get_dataset_config_names(name))
            found = datasets.load_dataset(name, config, keep_in_memory=False)
        except UsageError:
            raise
        except datasets.exceptions.DatasetNotFoundError as error:
            raise _unknown(name) from error
        except (OSError, RuntimeError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise UsageError(f"{name} was not to be had: {type(error).__name__}: {first}", _by_hand(name)) from error
    return {split: [Path(file["filename"]) for file in part.cache_files] for split, part in found.items()}


def chosen_config(where: str, config: str | None, known: Sequence[str]) -> str:
    """The one of several sets that is named, or the only or default one; UsageError where that is not clear."""
    if config is not None and config not in known:
        raise UsageError(f"{where} has no set {config!r} for data.config; {hint(config, list(known))}")
    if config is None and len(known) > 1 and "default" not in known:
        listed = ", ".join([*known[:8], *["…"] * (len(known) > 8)])
        raise UsageError(f"{where} holds {len(known):,} sets, {listed}", "set data.config to one of them")
    return config or ("default" if "default" in known else known[0])


def _answers(datasets: Any, hub: Any, name: str) -> bool:
    """Whether the hub says that it has a set; UsageError where it has not, or does not answer and nothing is cached."""
    try:
        hub.HfApi().dataset_info(name, timeout=ANSWER)
    except (hub.errors.RepositoryNotFoundError, hub.errors.HFValidationError) as error:
        raise _unknown(name) from error
    except Exception as error:  # whatever the library for the web raises
        if (Path(datasets.config.HF_DATASETS_CACHE) / name.lower().replace("/", "___")).is_dir():
            return False
        what = f"{name!r} is no folder, and the hub of Hugging Face cannot be reached ({type(error).__name__})"
        raise UsageError(what, f"correct data.path, or {_by_hand(name)}") from error
    return True


def _unknown(name: str) -> UsageError:
    what = f"{name!r} is no folder, and the hub of Hugging Face has no set of that name that you may read"
    return UsageError(what, "correct data.path, or log in with 'hf auth login' if it is private")


def _by_hand(name: str) -> str:
    return f"download it, 'hf download {name} --repo-type dataset --local-dir DIR', and set data.path to that folder"


@contextmanager
def _quiet(datasets: Any, hub: Any) -> Iterator[None]:
    """Neither bars nor remarks of these libraries within; all as before afterwards."""
    logs = datasets.logging, hub.logging
    bars = datasets.utils, hub.utils
    levels = [log.get_verbosity() for log in logs]
    shown = [not bar.are_progress_bars_disabled() for bar in bars]
    try:
        for log, bar in zip(logs, bars, strict=True):
            log.set_verbosity(SILENT)
            bar.disable_progress_bars()
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
        for bar, were in zip(bars, shown, strict=True):
            if were:
                bar.enable_progress_bars()
