"""Members of a tar archive and the places of their contents in it, found without reading these."""

import os
import posixpath
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vaelab.data.containers.member import AGAIN
from vaelab.data.encoded.archive import refuse_escape
from vaelab.errors import Damaged, UsageError
from vaelab.io.files import parsing

BLOCK = tarfile.BLOCKSIZE
OCTAL = re.compile(rb"[0-7]+")
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Entry(NamedTuple):
    """A file in an archive: its name, where its content begins, and the size of that."""

    name: str
    offset: int
    size: int


Found = tuple[Entry, str | None, int]  # a member, the name of what it is a link to, and where the next begins
NO_FILE = "/"  # in the place of that name


def members(path: Path) -> Iterator[Entry]:
    """The files in a tar, also those that are links to others before them.

    UsageError for one that is compressed, damaged or ends too early, and for members that lead outside.
    """
    found: dict[str, Entry] = {}
    for member, link in _walk(path):
        refuse_escape(path, member.name, link)
        content = member if link is None else found.get(link.removeprefix("./"))
        if content:
            name = member.name.removeprefix("./")
            found[name] = Entry(name, content.offset, content.size)
            yield found[name]


def _walk(path: Path) -> Iterator[tuple[Entry, str | None]]:
    """Each file, and the name of what it is a link to."""
    _refuse_compressed(path)
    with parsing(path), path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        length, position = os.fstat(file.fileno()).st_size, 0
        while True:
            found = None if archive.pax_headers else _plain(os.pread(file.fileno(), BLOCK, position), position)
            found = found or _any(path, archive, position)
            if found is None:
                return
            member, link, following = found
            if following <= position:
                raise Damaged(path, f"{member.name} has no size, at byte {position:,}", AGAIN)
            if following > length:
                raise Damaged(path, f"it ends within {member.name}, at byte {length:,} of {following:,}", AGAIN)
            position = following
            if link != NO_FILE:
                yield member, link


def _plain(head: bytes, position: int) -> Found | None:
    """A usual file, from its head; None for the library to read what is anything else.

    A shard has a million of them, for which that takes five times longer.
    """
    if len(head) < BLOCK or head[156] not in b"0\0" or head[124] >= 0x80:
        return None
    size, checksum = head[124:136].strip(b" \0"), head[148:156].strip(b" \0")
    if not (OCTAL.fullmatch(size) and OCTAL.fullmatch(checksum)):
        return None
    if sum(head) - sum(head[148:156]) + 8 * ord(" ") != int(checksum, 8):
        return None
    name = head[:100].split(b"\0", 1)[0]
    if head[257:263] == b"ustar\0" and head[345]:
        name = head[345:500].split(b"\0", 1)[0] + b"/" + name
    member = Entry(name.decode("utf-8", "surrogateescape"), position + BLOCK, int(size, 8))
    return member, None, member.offset + -(-member.size // BLOCK) * BLOCK


def _any(path: Path, archive: Any, position: int) -> Found | None:
    """What the library makes of the head at a position, and all that belongs to it; None at the end mark."""
    archive.fileobj.seek(position)
    try:
        info = tarfile.TarInfo.fromtarfile(archive)
    except tarfile.EOFHeaderError:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    except tarfile.EmptyHeaderError as error:  # pyright: ignore[reportAttributeAccessIssue]
        raise Damaged(path, f"it ends at byte {position:,}, without the mark that ends a tar", AGAIN) from error
    except tarfile.TarError as error:
        raise Damaged(path, f"{error} at byte {position:,}", AGAIN) from error
    if info.issparse():
        raise UsageError(f"{path} holds {info.name} with holes", "make it anew without --sparse")
    return Entry(info.name, info.offset_data, info.size), _target(info), archive.offset


def _target(info: tarfile.TarInfo) -> str | None:
    if info.issym():
        return posixpath.normpath(posixpath.join(posixpath.dirname(info.name), info.linkname))
    return info.linkname if info.islnk() else None if info.isreg() else NO_FILE


def _refuse_compressed(path: Path) -> None:
    with parsing(path), path.open("rb") as file:
        head = file.read(8)
    kind = next((kind for magic, kind in COMPRESSED.items() if head.startswith(magic)), None)
    if kind:
        problem = f"{path} is compressed with {kind}, so that no image in it can be reached by its number"
        raise UsageError(problem, "unpack it to a plain .tar, and name that")
