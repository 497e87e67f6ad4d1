"""Odd contents: damaged bytes, values of other types, pickles that execute, headers that lie."""

import copy
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import torch

ODD: list[Any] = [None, True, "x", "", [], {}, [[]], {"a": 1}, -1, 0, 2.5, 1e308, float("nan"), float("inf"), 10**400]
ODD += ["\ud800", "\x1b[31m", "x" * 100_000, "../../etc/passwd", "<script>alert(1)</script>", {"kind": "x"}, [None]]


class Evil:
    """Unpickled, it leaves a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.canary}",)


def damaged(content: bytes, random: Random) -> bytes:
    """Cut short, emptied, with bits flipped, garbage put in, or grown."""
    at = random.randrange(len(content) + 1)
    flipped = bytearray(content)
    for _ in range(random.choice((1, 3, 50))):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    garbage = random.randbytes(random.choice((1, 100, 5000)))
    spliced = content[:at] + garbage + content[at:]
    kinds = [content[:at], content[:at], b"", bytes(flipped), bytes(flipped), spliced, garbage, bytes(len(content))]
    return random.choice([*kinds, content * 2])


def zeros(megabytes: int) -> bytes:
    """A deflated stream of so many zeros, a thousandth of their size; made of one piece, repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return piece * megabytes + deflate.flush()


def mutate(value: Any, random: Random) -> None:
    """Replace, drop or rename something inside."""
    inside = value
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return
        key = random.choice(keys)
        deeper = isinstance(inside[key], dict | list) and inside[key]
        if not deeper or random.random() < 0.25:
            break
        inside = inside[key]
    how = random.random()
    if how < 0.2:
        del inside[key]
    elif how < 0.3 and isinstance(inside, dict):
        inside[f"{key}\n"] = inside.pop(key)
    else:
        inside[key] = copy.deepcopy(random.choice(ODD))


def odd_json(path: Path, random: Random) -> None:
    found = json.loads(path.read_text())
    for _ in range(random.choice((1, 1, 3))):
        mutate(found, random)
    content = json.dumps(random.choice([found] * 9 + ODD)).encode()
    deep = b"[" * 100_000
    path.write_bytes(random.choice([content] * 6 + [damaged(content, random), deep, b"\xff", b"1" * 5000]))


def pickles(path: Path, evil: Evil, random: Random) -> None:
    """A pickle that executes, bare or as torch keeps it."""
    how = random.choice(("bare", "torch", "old", "swapped"))
    if how == "bare":
        path.write_bytes(pickle.dumps({"format": 3, "learner": evil}))
    elif how == "swapped" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, pickle.dumps(evil) if name.endswith("data.pkl") else content)
    else:
        torch.save({"learner": evil, "progress": evil}, path, _use_new_zipfile_serialization=how == "torch")


def odd_header(content: bytes, random: Random) -> bytes:
    """Another length, or other places and types of tensors, at the beginning of a model file."""
    length = struct.unpack_from("<Q", content)[0]
    if random.random() < 0.3:
        return struct.pack("<Q", random.choice((0, 1, 2**31, 2**63, 2**64 - 1, length - 1, length + 1))) + content[8:]
    header = json.loads(content[8 : 8 + length])
    mutate(header, random)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]
