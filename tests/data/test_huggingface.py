"""Tables of images: every row once, by its number, wherever it lies; splits, columns, and what is none."""

import io
import json
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vaelab.data import load
from vaelab.data.huggingface import HuggingFace
from vaelab.errors import UsageError

CLASSES = {"_type": "ClassLabel", "names": ["cat", "dog", "eel"]}
FEATURES = {"image": {"_type": "Image"}, "label": CLASSES}


def png(number: int) -> bytes:
    """An image whose every pixel is its number."""
    file = io.BytesIO()
    Image.new("L", (6, 8), number).save(file, "PNG")
    return file.getvalue()


def table(numbers, features=FEATURES, **others):
    """A table of images and classes as `datasets` writes it."""
    images = [{"bytes": png(number), "path": None} for number in numbers]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, kind), "label": pa.array([number % 3 for number in numbers]), **others}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    return pa.table(columns).replace_schema_metadata(metadata)


def parquet(path: Path, what, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(what if isinstance(what, pa.Table) else table(what), path, **options)
    return path


def arrow(path: Path, what, new=None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    what = what if isinstance(what, pa.Table) else table(what)
    with pa.OSFile(str(path), "wb") as sink, (new or pa.ipc.new_stream)(sink, what.schema, **options) as writer:
        writer.write_table(what, max_chunksize=7)
    return path


def numbers(data) -> list[list[int]]:
    return [split.images[:, 0, 0, 0].tolist() for split in (data.train, data.valid, data.test)]


def everything(data) -> list[int]:
    return sorted(chain.from_iterable(numbers(data)))


def refusal(**options) -> str:
    with pytest.raises(UsageError) as error:
        load("huggingface", **options)
    return str(error.value)


KINDS = {
    "parquet": lambda path: parquet(path.with_suffix(".parquet"), range(40), row_group_size=9),
    "stream": lambda path: arrow(path.with_suffix(".arrow"), range(40)),
    "file": lambda path: arrow(path.with_suffix(".arrow"), range(40), pa.ipc.new_file),
    "packed": lambda path: arrow(
        path.with_suffix(".arrow"), range(40), options=pa.ipc.IpcWriteOptions(compression="zstd")
    ),
    "bytes": lambda path: parquet(
        path.with_suffix(".parquet"),
        pa.table({"picture": pa.array(map(png, range(40)), pa.large_binary()), "label": [n % 3 for n in range(40)]}),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_in_one_split_once_with_its_class(tmp_path, kind):
    data = load("huggingface", path=KINDS[kind](tmp_path / "a"))
    assert everything(data) == list(range(40))
    for split, own in zip((data.train, data.valid, data.test), numbers(data), strict=True):
        assert split.labels.tolist() == [n % 3 for n in own]
    assert data.classes == (("0", "1", "2") if kind == "bytes" else ("cat", "dog", "eel"))
    assert data.summary == "40 grey images of 8 × 6 in 3 classes, split by seed"


@pytest.mark.parametrize("kind", KINDS)
def test_any_image_is_read_by_its_number(tmp_path, kind, cache):
    files = HuggingFace(path=str(KINDS[kind](tmp_path / "a"))).find(None).files
    order = np.random.default_rng(0).permutation(40).tolist()
    assert [files.open(i).read() for i in order] == [png(i) for i in order]
    assert files.names[8].endswith(", row 8")
    assert len(list((cache / "huggingface").glob("*.arrow"))) == (kind in ("parquet", "packed", "bytes"))


@pytest.mark.parametrize("kind", ["parquet", "stream"])
def test_images_decoded_live_are_those_decoded_once(tmp_path, kind):
    path = KINDS[kind](tmp_path / "a")
    once, live = (load("huggingface", path=path, decode=how) for how in ("once", "live"))
    assert (live.digest, live.summary) == (once.digest, once.summary)


def test_a_table_that_changes_is_read_anew(tmp_path):
    path = parquet(tmp_path / "a.parquet", range(20))
    assert everything(load("huggingface", path=path)) == list(range(20))
    parquet(path, range(30, 60))
    assert everything(load("huggingface", path=path)) == list(range(30, 60))


def test_what_breaks_off_leaves_no_half_copy(tmp_path, cache, monkeypatch):
    path = parquet(tmp_path / "a.parquet", range(20))

    def breaks(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pa.ipc, "new_stream", breaks)
        load("huggingface", path=path)
    assert not list((cache / "huggingface").iterdir())


@pytest.mark.parametrize("layout", ["names", "folders", "readme", "config"])
def test_splits_are_kept_as_on_the_hub(tmp_path, layout):
    root = tmp_path / "set"
    where = {"names": "data/{}-00000-of-00001.parquet", "folders": "{}/0.parquet"}.get(layout, "one/{}-0.parquet")
    for number, split in enumerate(("train", "validation", "test")):
        parquet(root / where.format(split), range(10 * number, 10 * number + 10))
    if layout in ("readme", "config"):
        parquet(root / "two" / "train-0.parquet", range(90, 99))
    if layout == "readme":
        files = [{"split": split, "path": f"one/{split}-*"} for split in ("train", "validation", "test")]
        configs = [{"config_name": "first", "data_files": files}, {"config_name": "two", "data_files": "two/*"}]
        (root / "README.md").write_text(f"---\n{json.dumps({'configs': configs})}\n---\n# A set\n")
    config = {"readme": "first", "config": "one"}.get(layout)
    data = load("huggingface", path=root, config=config)
    assert list(map(sorted, numbers(data))) == [list(range(10)), list(range(10, 20)), list(range(20, 30))]
    assert data.summary.endswith("split by its publisher")
    if config:
        assert f"{root} holds 2 sets, {config}, two; set data.config to one" in refusal(path=root)
        assert "has no set 'twoo' for data.config; did you mean 'two'?" in refusal(path=root, config="twoo")


def test_what_save_to_disk_writes_is_read_where_it_is(tmp_path, cache):
    root = tmp_path / "saved"
    for split, numbers_of in (("train", range(12)), ("test", range(20, 26)), ("extra", range(9))):
        arrow(root / split / "data-0.arrow", numbers_of)
        state = {"_data_files": [{"filename": "data-0.arrow"}]}
        (root / split / "state.json").write_text(json.dumps(state))
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test", "extra"]}))
    with pytest.warns(UserWarning, match="left out extra of the splits train, test, extra"):
        data = load("huggingface", path=root, valid_size=2)
    assert everything(data) == [*range(12), *range(20, 26)]
    assert sorted(numbers(data)[2]) == list(range(20, 26))
    assert not list((cache / "huggingface").glob("*.arrow"))
    assert len(load("huggingface", path=root / "train", valid_size=1, test_size=1).train) == 10
    (root / "test" / "data-0.arrow").unlink()
    assert "data-0.arrow is not there, of 1 table; save the set again" in refusal(path=root)


def test_what_the_library_itself_writes_is_read(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog", "eel"]))
    whole = datasets.Dataset(table(range(20)).cast(features.arrow_schema))
    splits = datasets.DatasetDict(train=whole, test=whole.select([5, 2, 3]))
    splits.save_to_disk(tmp_path / "saved", num_shards={"train": 3, "test": 1})
    whole.to_parquet(tmp_path / "p" / "data" / "train-00000-of-00001.parquet")
    capfd.readouterr()
    saved, packed = load("huggingface", path=tmp_path / "saved"), load("huggingface", path=tmp_path / "p")
    assert (sorted(numbers(saved)[2]), everything(saved)) == ([2, 3, 5], sorted([*range(20), 2, 3, 5]))
    assert (everything(packed), packed.classes) == (list(range(20)), ("cat", "dog", "eel"))
    assert saved.train.labels.tolist() == [n % 3 for n in numbers(saved)[0]]
    assert capfd.readouterr() == ("", "")


def test_images_may_be_beside_the_table_and_some_rows_have_none(tmp_path):
    content = table(range(12)).to_pydict()
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png(100 + number))
        content["image"][number] = {"bytes": None, "path": f"{number}.png"}
    content["image"][7] = {"bytes": None, "path": None}
    path = parquet(tmp_path / "a.parquet", pa.table(content, table(range(1)).schema))
    with pytest.warns(UserWarning, match="left out 1 of the 12 rows"):
        data = load("huggingface", path=path)
    assert everything(data) == [4, 5, 6, 8, 9, 10, 11, 100, 101, 102, 103]


def test_classes_may_be_words_and_columns_be_named(tmp_path):
    words = pa.array(["b", "a"] * 10)
    path = parquet(tmp_path / "a.parquet", table(range(20), None, kind=words, mask=pa.array(map(png, range(20)))))
    data = load("huggingface", path=path, label="kind", image="mask")
    assert data.classes == ("a", "b")
    assert [label for label in data.train.labels.tolist()] == [1 - n % 2 for n in numbers(data)[0]]
    assert load("huggingface", path=path, label="none", image="mask").train.labels is None
    assert "has images in image, mask; name their column with data.image" in refusal(path=path)
    assert "has no column 'masc' for data.image; did you mean 'mask'?" in refusal(path=path, image="masc")
    assert "has no column 'kin' for data.label; did you mean 'kind'?" in refusal(path=path, image="mask", label="kin")
    assert "the column label of" in (said := refusal(path=path, image="label"))
    assert "holds no image files but int64" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(["image"]), "has no images (label (ClassLabel)); name another table"),
        (lambda t: t.set_column(1, "label", pa.array([0, -1, None, *[1] * 17])), "has no label for 2 of 20 images ("),
        (lambda t: t.set_column(1, "label", pa.array([0.5] * 20)), "holds 0.5, which is no class; name another column"),
        (lambda t: t.set_column(0, "image", pa.nulls(20, t.schema.field(0).type)), "holds no images; name another "),
        (lambda t: t.slice(0, 0), "a.parquet has no rows; leave it out"),
        (lambda t: t.append_column("tag", pa.array([1] * 20)).replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": {**FEATURES, "label": CLASSES, "tag": CLASSES}}})}
        ).rename_columns(["image", "fine", "tag"]).replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": {"fine": CLASSES, "tag": CLASSES}}})}
        ), "has classes in fine, tag; set data.label to one of them"),
    ],
)  # fmt: skip
def test_tables_that_are_not_clear_are_refused(tmp_path, cache, change, said):
    assert said in refusal(path=parquet(tmp_path / "a.parquet", change(table(range(20)))))
    assert not list((cache / "huggingface").glob(".*"))


def test_files_that_are_none_are_refused(tmp_path):
    path = parquet(tmp_path / "p" / "train-0.parquet", table(range(20)).rename_columns(["picture", "label"]))
    parquet(tmp_path / "p" / "test-0.parquet", range(9))
    assert f"{path} has no column 'image' for data.image" in refusal(path=tmp_path / "p")
    path.write_bytes(path.read_bytes()[:-50])
    assert f"{path} is truncated, damaged or another file (ArrowInvalid" in refusal(path=path)
    stream = arrow(tmp_path / "a.arrow", range(20))
    stream.write_bytes(stream.read_bytes()[:-900])
    assert f"{stream} is truncated, damaged or another file (" in refusal(path=stream)
    (tmp_path / "e").mkdir()
    assert "e holds no Parquet; correct data.path" in refusal(path=tmp_path / "e")
    (tmp_path / "e" / "0.png").write_bytes(png(0))
    assert "e holds images; set data.kind=folder" in refusal(path=tmp_path / "e")
    assert "there is no './nowhere' (looked for" in refusal(path="./nowhere")


class NotFound(Exception):
    """What the library raises."""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The libraries of the hub, with one set on it; what they were told to be silent about is written down."""
    path = arrow(tmp_path / "hub" / "train.arrow", range(20))
    log = SimpleNamespace(level=30, get_verbosity=lambda: log.level)
    log.set_verbosity = lambda level: vars(log).update(level=level)
    bars = SimpleNamespace(
        off=False,
        are_progress_bars_disabled=lambda: bars.off,
        disable_progress_bars=lambda: vars(bars).update(off=True),
        enable_progress_bars=lambda: vars(bars).update(off=False),
    )
    state = SimpleNamespace(log=log, bars=bars, online=True)

    def ask(name, timeout):
        if not state.online:
            raise OSError("no route")
        if name != "me/mine":
            raise NotFound

    def get(name, config, keep_in_memory):
        assert (log.level, bars.off) == (100, True)
        return {"train": SimpleNamespace(cache_files=[{"filename": str(path)}])}

    names = "RepositoryNotFoundError", "HFValidationError", "DatasetNotFoundError"
    errors = SimpleNamespace(**dict.fromkeys(names, NotFound))
    api = SimpleNamespace(HfApi=lambda: SimpleNamespace(dataset_info=ask), errors=errors, logging=log, utils=bars)
    library = SimpleNamespace(
        load_dataset=get,
        get_dataset_config_names=lambda name: ["a", "b"],
        exceptions=errors,
        config=SimpleNamespace(HF_DATASETS_CACHE=tmp_path / "hub"),
        logging=log,
        utils=bars,
    )
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setitem(sys.modules, "huggingface_hub", api)
    return state


def test_a_set_on_the_hub_is_had_by_name_in_silence(hub, capfd):
    assert everything(load("huggingface", path="me/mine", config="a")) == list(range(20))
    assert (hub.log.level, hub.bars.off) == (30, False)
    assert capfd.readouterr() == ("", "")
    assert "me/mine holds 2 sets, a, b; set data.config to one of them" in refusal(path="me/mine")


def test_names_that_the_hub_has_not_and_no_network_are_said(hub, tmp_path):
    assert "the hub of Hugging Face has no set of that name that you may read; correct" in refusal(path="me/mime")
    hub.online = False
    said = refusal(path="me/mine")
    assert "'me/mine' is no folder, and the hub of Hugging Face cannot be reached (OSError); correct data.path" in said
    assert (hub.log.level, hub.bars.off) == (30, False)
    (tmp_path / "hub" / "me___mine").mkdir()
    assert everything(load("huggingface", path="me/mine")) == list(range(20))


def test_libraries_that_are_missing_are_named(tmp_path, monkeypatch):
    path = parquet(tmp_path / "a.parquet", range(3))
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "sets on the hub are read by datasets; pip install 'vaelab[huggingface]'" in refusal(path="me/mine")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert f"{path} is read by pyarrow; pip install 'vaelab[parquet]'" in refusal(path=path)
