"""Tables beside images: splits, classes and factors by file, and tables that fit nothing."""

import warnings
import zipfile

import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from vaelab.data import load
from vaelab.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    """Twelve images, each of its number: a/00.png … b/11.png."""
    root = tmp_path / "photos"
    for number in range(12):
        path = root / "ab"[number // 6] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 8), number).save(path)
    return root


def name_of(number: int) -> str:
    return f"{'ab'[number // 6]}/{number:02}.png"


def write(path, head: str, rows, separator: str = ",") -> None:
    lines = [head.split(","), *([str(value) for value in row] for row in rows)]
    path.write_text("\n".join(separator.join(line) for line in lines) + "\n", encoding="utf-8-sig")


def found(data) -> list[list[tuple[int, str | None]]]:
    """The number and the class of each image, by split."""
    parts = []
    for split in (data.train, data.valid, data.test):
        kinds = [None] * len(split) if split.labels is None else [data.classes[label] for label in split.labels]
        parts.append(sorted(zip(split.images[:, 0, 0, 0].tolist(), kinds, strict=True)))
    return parts


SPLITS = ["train", "training", "TRAIN", "train", "val", "test"] * 2
KINDS = ["cat", "dog"] * 6
EXPECTED = [[(n, KINDS[n]) for n in range(12) if n % 6 in numbers] for numbers in ((0, 1, 2, 3), (4,), (5,))]


@pytest.mark.parametrize("suffix", ["csv", "tsv-like.csv", "parquet"])
@pytest.mark.parametrize(
    "called",
    [
        name_of,
        lambda n: f"./{name_of(n)}",
        lambda n: f"photos/{name_of(n)}",
        lambda n: name_of(n).replace("/", "\\"),
        lambda n: name_of(n).removesuffix(".png"),
        lambda n: f"{n:02}.png",
        lambda n: f"{n:02}",
    ],
)
def test_a_table_says_splits_and_classes(folder, called, suffix):
    rows = [(called(n), KINDS[n], SPLITS[n]) for n in range(12)]
    if suffix == "parquet":
        columns = dict(zip(("file_name", "label", "split"), map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(pyarrow.table(columns), folder / "labels.parquet")
    else:
        write(folder / f"labels.{suffix}", "file_name,label,split", rows, "\t" if "tsv" in suffix else ",")
    data = load("folder", path=folder)
    assert found(data) == EXPECTED
    assert data.summary == "12 grey images of 8 × 6 in 2 classes, split by table"


def test_columns_and_a_table_elsewhere_can_be_named(folder, tmp_path):
    rows = [(name_of(n), SPLITS[n], KINDS[n], n % 3, n / 4) for n in range(12)]
    write(tmp_path / "else.csv", "where,when,what,third,quarter", rows)
    options = {"table": tmp_path / "else.csv", "file": "where", "split": "when"}
    assert found(load("folder", path=folder, **options, label="what")) == EXPECTED
    data = load("folder", path=folder, **options, label=["what", "third", "quarter"])
    assert found(data) == EXPECTED and data.factor_names == ("third", "quarter")
    numbers = data.train.images[:, 0, 0, 0].float()
    assert torch.equal(data.train.factors, torch.stack([numbers % 3, numbers / 4], 1))
    assert load("folder", path=folder, **options, label="third").classes == ("0", "1", "2")
    regressed = load("folder", path=folder, **options, label="quarter")
    assert (regressed.train.labels is None or regressed.classes == ("a", "b")) and regressed.factor_names == (
        "quarter",
    )


def test_what_a_table_does_not_say_is_told_by_folders(folder):
    write(folder / "split.csv", "file,split", [(name_of(n), SPLITS[n]) for n in range(12)])
    data = load("folder", path=folder)
    assert found(data) == [[(n, "ab"[n // 6]) for n, _ in split] for split in EXPECTED]
    (folder / "split.csv").unlink()
    write(folder / "classes.csv", "file,class", [(name_of(n), KINDS[n]) for n in range(12)])
    data = load("folder", path=folder)
    assert data.summary.endswith("in 2 classes, split by seed") and data.classes == ("cat", "dog")
    assert load("folder", path=folder, table="none").classes == ("a", "b")


def test_tables_without_files_and_of_other_things_are_passed_over(folder):
    write(folder / "results.csv", "step,loss", [(1, 2)])
    assert load("folder", path=folder).classes == ("a", "b")
    for name in ("one.csv", "two.csv"):
        write(folder / name, "file,label", [(name_of(n), 0) for n in range(12)])
    with pytest.raises(
        UsageError, match=r"photos has several tables of files, one.csv, two.csv; name one with data.tab"
    ):
        load("folder", path=folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load("folder", path=folder, table="two.csv").classes == ("0",)


def test_rows_and_files_that_miss_each_other_are_counted_and_named(folder):
    rows = [(name_of(n), KINDS[n]) for n in range(10)] + [(f"lost/{n}.png", "cat") for n in range(4)]
    write(folder / "labels.csv", "file,label", rows)
    with pytest.warns(UserWarning) as said:
        data = load("folder", path=folder)
    assert str(said[0].message) == (
        f"{folder / 'labels.csv'}: 2 images (b/10.png, b/11.png) without a row, left out; "
        "4 rows (lost/0.png, lost/1.png, lost/2.png, …) without an image"
    )
    assert sorted(n for split in found(data) for n, _ in split) == list(range(10))


@pytest.mark.parametrize(
    ("head", "rows", "options", "said"),
    [
        ("file,label", [("x/1.png", 0), ("y.png", 1)], {}, "fits no file: its files are x/1.png, y.png, those below"),
        ("file,label", [], {}, "fits no file: its files are none"),
        ("a,b", [(1, 2)], {"table": "t.csv"}, "has the columns a, b, of which none is known to name files; name it w"),
        ("file,label", [(name_of(0), 0)] * 2, {}, "has several rows for a/00.png; leave one for each file"),
        ("file,label", [(name_of(0), 0)], {"label": "lable"}, "has no column 'lable' for data.label; did you mean 'la"),
        ("file,label", [(name_of(0), "")], {}, "has no label for 1 image (a/00.png); give every image one, or remove"),
        (
            "file,split",
            [(name_of(n), "extra" if n > 6 else "train") for n in range(12)],
            {},
            "puts 5 images (b/07.png, b/08.png, b/09.png, …) into the split 'extra'; name each split train, valid",
        ),
        ("file,split", [(name_of(0), "test")], {}, "has no image whose split is train; put some there"),
        (
            "file,split,label",
            [(name_of(n), SPLITS[n], "zebra" if SPLITS[n] == "test" else "cat") for n in range(12)],
            {},
            "has 2 images (a/05.png, b/11.png) of a class that train lacks, zebra; put some of it into train, or",
        ),
        ("file,label", [(name_of(0), 0, 7), (name_of(1), 0)], {}, "row 1 has 3 values where 2 columns have names; me"),
        ("file,label", [], {"table": "lost.csv"}, "there is no CSV or Parquet 'lost.csv' (looked for lost.csv, "),
    ],
)
@pytest.mark.filterwarnings("ignore:.*without a row")
def test_a_table_that_is_wrong_is_refused_with_the_fix(folder, cache, head, rows, options, said):
    write(folder / "t.csv", head, rows)
    with pytest.raises(UsageError) as error:
        load("folder", path=folder, **options)
    assert said in str(error.value)
    assert not cache.exists() or not list(cache.rglob("*.npy"))


def test_names_without_folders_must_tell_files_apart(folder):
    Image.new("L", (6, 8)).save(folder / "b" / "00.png")
    write(folder / "t.csv", "file,label", [(f"{n:02}.png", 0) for n in range(12)])
    with pytest.raises(
        UsageError, match=r"t.csv does not tell a/00.png, b/00.png apart; give their folders in it, too"
    ):
        load("folder", path=folder)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00file", b"PAR1broken"])
def test_a_broken_table_is_refused(folder, content):
    path = folder / f"labels.{'parquet' if b'PAR1' in content else 'csv'}"
    path.write_bytes(content)
    with pytest.raises(
        UsageError, match=r"labels.csv is no text in UTF-8; save it as that|labels.parquet is truncated"
    ):
        load("folder", path=folder, table=path)


def test_a_class_that_only_training_has_is_fine(folder):
    rows = [(name_of(n), SPLITS[n], "rare" if n == 0 else "cat") for n in range(12)]
    write(folder / "t.csv", "file,split,label", rows)
    assert load("folder", path=folder).classes == ("cat", "rare")


def test_a_table_goes_with_a_zip(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path).as_posix())
    assert load("folder", path=tmp_path / "photos.zip").classes == ("a", "b")
    write(tmp_path / "t.csv", "file,split,label", [(name_of(n), SPLITS[n], KINDS[n]) for n in range(12)])
    assert found(load("folder", path=tmp_path / "photos.zip", table="t.csv")) == EXPECTED
