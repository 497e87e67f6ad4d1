"""Sources of images: sets that are not loaded yet, each with the options of its own."""

from dataclasses import dataclass
from traceback import extract_tb

from vaelab.data.checks import checked
from vaelab.data.dataset import Dataset, Preparation
from vaelab.data.split import Pool, Split
from vaelab.errors import UsageError, VaelabError
from vaelab.io.places import Directory
from vaelab.registry import base_of, name_of

__all__ = ["Dataset", "Pool", "Source", "Split"]


@base_of("data")
@dataclass(frozen=True, kw_only=True)
class Source(Preparation):
    """A set of images that is not loaded yet; its fields are the options that a recipe may set."""

    @property
    def name(self) -> str:
        """That by which the set is registered, else that of its class."""
        return name_of("data", type(self)) or type(self).__name__

    def read(self, directory: Directory) -> Pool:
        """Find and check the files, and return their images; for each set to define."""
        raise UsageError(f"{type(self).__name__} has no read(directory); write one that returns a Pool of Splits")

    def pool(self, directory: Directory = None) -> Pool:
        """What `read` returns, which may be written by anyone, and is checked here for every use of it."""
        by = f"{type(self).__name__}.read"
        try:
            found = self.read(directory)
        except (VaelabError, OSError, MemoryError):
            raise
        except Exception as error:
            place = extract_tb(error.__traceback__)[:2][-1]  # the line in `read`, not where that led to
            at = f"{place.filename}:{place.lineno}"
            raise UsageError(f"{by} fails at {at}: {type(error).__name__}: {error}; mend it") from error
        return checked(found, f"{by} returns")

    def load(self, directory: Directory = None) -> Dataset:
        """The set with all options applied; `directory` is searched before the other places (`places.places`).

        Raises UsageError for files that are missing or damaged and for sizes that the set does not have.
        """
        return self.prepare(self.pool(directory), self.name)
