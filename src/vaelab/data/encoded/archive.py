"""Archives, read without unpacking: damage is named, and so is a member that would leave the folder it belongs to."""

import posixpath
import re
import stat
import tarfile
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from vaelab.data.encoded.files import ImageFiles, in_folder, is_image, stamp
from vaelab.errors import Damaged, UsageError
from vaelab.io.files import parsing
from vaelab.io.memory import refuse_too_large

ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")  # on any system
CLIMBS = re.compile(r"(^|[/\\])\.\.($|[/\\])")


def open_images(path: Path) -> ImageFiles:
    """The images below a folder or in a zip archive, alike, to be read from any thread and verified by checksum.

    UsageError for an archive that is broken or encrypted, has no images, or whose members lead outside.
    """
    if path.is_dir():
        return in_folder(path)
    with parsing(path):
        archive = ZipFile(path)

    def read(name: str) -> bytes:
        with parsing(path):
            return archive.read(name)

    members = archive.infolist()
    links = [m.filename for m in members if stat.S_ISLNK(m.external_attr >> 16)]
    if any(member.flag_bits & 1 for member in members):
        raise Damaged(path, "it is encrypted")
    for member in members:
        refuse_escape(path, member.filename, read(member.filename).decode() if member.filename in links else None)
    names = sorted(m.filename for m in members if is_image(m.filename) and m.filename not in links)
    if not names:
        raise Damaged(path, "it holds no images")
    largest = max(members, key=lambda member: member.file_size)
    what = f"{largest.filename} in {path}, as if made to exhaust memory,"
    refuse_too_large(largest.file_size, what, "unpack the archive, or remove that")
    return ImageFiles(names, lambda i: BytesIO(read(names[i])), lambda: stamp(path))


def read_tar(path: Path, names: list[str]) -> list[bytes]:
    """The contents of these files in a tar archive of any compression, in one pass; UsageError as for `open_images`."""
    found = {}
    with parsing(path), tarfile.open(path) as archive:
        for member in archive:
            refuse_escape(path, member.name, member.linkname if member.issym() else None)
            if member.name in names and (content := archive.extractfile(member)):
                found[member.name] = content.read()
    if missing := [name for name in names if name not in found]:
        raise Damaged(path, f"it has no {missing[0]}")
    return [found[name] for name in names]


def refuse_escape(path: Path, name: str, link: str | None = None) -> None:
    """UsageError for a member that is absolute or climbs with `..`, or that links to what lies outside."""
    outside = ABSOLUTE.match(name) or CLIMBS.search(name)
    if link is not None and not outside:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
        outside = ABSOLUTE.match(link) or CLIMBS.search(target)
    if outside:
        what = repr(name) if link is None else f"a link {name!r} to {link!r}"
        raise UsageError(
            f"{path} holds {what}, which leads out of the folder it would be unpacked in; the archive is not to be "
            "trusted and was not read, so get the original one"
        )
