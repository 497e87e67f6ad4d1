"""Arrays in files of every kind: the same images whatever the format, order and type, read now or later."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr
from typer.testing import CliRunner

from vaelab.cli import app
from vaelab.data import arrays, load
from vaelab.data.dataset import Dataset
from vaelab.errors import UsageError

RNG = np.random.default_rng(0)
X = RNG.integers(2**16, size=(23, 3, 5, 4)).astype(np.uint16)
Y = np.arange(23) % 4


def whole(split) -> torch.Tensor:
    return split.images[:].cpu()


def same(data, other) -> bool:
    pairs = [(getattr(data, name), getattr(other, name)) for name in ("train", "valid", "test")]
    labels = all(a.labels is None if b.labels is None else torch.equal(a.labels, b.labels) for a, b in pairs)
    return labels and all(torch.equal(whole(a), whole(b)) for a, b in pairs) and data.scale == other.scale


@pytest.fixture(params=["read at once", "read when needed"])
def lazy(request, monkeypatch) -> bool:
    """Whether arrays are too large for memory."""
    if request.param == "read when needed":
        monkeypatch.setattr(arrays, "IN_MEMORY", 0)
    return request.param == "read when needed"


def hdf5(path, found, **options):
    with h5py.File(path, "w") as file:
        for name, x in found.items():
            file.create_dataset(name, data=x, **(options if x.ndim > 1 else {}))


def zarr_group(path, found):
    store = zarr.storage.ZipStore(path, mode="w") if path.suffix == ".zip" else path
    group = zarr.open_group(store, mode="w")
    for name, x in found.items():
        group.create_array(name, data=x, chunks=(5, *x.shape[1:]))
    if path.suffix == ".zip":
        store.close()


def npy_folder(path, found):
    path.mkdir()
    for name, x in found.items():
        np.save(path / f"{name}.npy", x)


WRITERS = {
    "x.npz": lambda path, found: np.savez(path, **found),
    "compressed.npz": lambda path, found: np.savez_compressed(path, **found),
    "x.h5": hdf5,
    "chunked.hdf5": lambda path, found: hdf5(path, found, chunks=(3, *X.shape[1:]), compression="gzip"),
    "x.zarr": zarr_group,
    "x.zip": zarr_group,
    "folder": npy_folder,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_set(tmp_path, lazy, name):
    WRITERS[name](tmp_path / name, {"images": X, "labels": Y})
    data = load("arrays", path=str(tmp_path / name), seed=3)
    expected = Dataset.of(X, Y, seed=3)
    assert same(data, expected) and data.digest == expected.digest
    assert isinstance(data.train.images, torch.Tensor) != lazy or name == "compressed.npz"


@pytest.mark.parametrize("name", WRITERS)
def test_an_official_split_is_understood_by_its_names(tmp_path, name):
    found = {
        "x_train": X[:12],
        "y_train": Y[:12],
        "x_val": X[12:15],
        "y_val": Y[12:15],
        "x_test": X[15:],
        "y_test": Y[15:],
    }
    WRITERS[name](tmp_path / name, found)
    data = load("arrays", path=str(tmp_path / name))
    assert same(data, Dataset.of((X[:12], Y[:12]), valid=(X[12:15], Y[12:15]), test=(X[15:], Y[15:])))
    assert data.summary == f"23 16-bit colour images of 5 × 4 in 4 classes, split by {name}"


TIFFS = {
    "plain": {},
    "compressed": {"compression": "zlib"},
    "big-endian": {"byteorder": ">"},
    "ImageJ's": {"imagej": True, "metadata": {"axes": "TCYX"}},
    "colours last": {"photometric": "rgb"},
    "OME": {"photometric": "minisblack", "ome": True, "metadata": {"axes": "TCYX"}},
    "compressed planes": {"photometric": "minisblack", "metadata": {"axes": "TCYX"}, "compression": "zlib"},
}


@pytest.mark.parametrize("name", TIFFS)
def test_a_tiff_stack_says_its_own_axes(tmp_path, lazy, name):
    last = name in ("plain", "compressed", "big-endian", "colours last")
    path = tmp_path / ("x.ome.tif" if "ome" in TIFFS[name] else "x.tif")
    tifffile.imwrite(
        path, np.moveaxis(X, 1, -1) if last else X, **({"photometric": "rgb"} if last else {}) | TIFFS[name]
    )
    data = load("arrays", path=str(path))
    assert same(data, Dataset.of(X)), data.x_shape
    assert isinstance(data.train.images, torch.Tensor) != lazy


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("axes", ["NCHW", "NHWC", "HWCN", "CNWH", "WHNC"])
@pytest.mark.parametrize("name", ["x.npy", "x.h5"])
def test_any_order_of_axes_gives_the_same_images(tmp_path, lazy, name, axes, fortran):
    x = X.transpose(["NCHW".index(letter) for letter in axes])
    x = np.asfortranarray(x) if fortran else np.ascontiguousarray(x)
    if name == "x.npy":
        np.save(tmp_path / name, x)
    else:
        hdf5(tmp_path / name, {"x": x}, chunks=tuple(max(1, n // 2) for n in x.shape))
    assert same(load("arrays", path=str(tmp_path / name), axes=axes), Dataset.of(X))
    np.save(tmp_path / "grey.npy", x.take(0, axes.index("C")))
    data = load("arrays", path=str(tmp_path / "grey.npy"), axes=axes.replace("C", ""))
    assert same(data, Dataset.of(X[:, 0]))


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<f4", ">f8", "f2", "i1", ">i2", "<i4", "u4", "i8", "u8", "?"])
def test_every_type_of_number_keeps_its_values(tmp_path, lazy, dtype):
    x = (RNG.integers(100, size=(9, 4, 4)) - 50 * (np.dtype(dtype).kind in "if")).astype(dtype)
    x[0, 0, 0], x[0, 0, 1] = 0, 99
    np.save(tmp_path / "x.npy", x)
    data = load("arrays", path=str(tmp_path / "x.npy"), test_size=1, valid_size=1)
    stored = {"u1": "uint8", ">u2": "uint16", "?": "uint8"}.get(dtype, "float32")
    assert data.scale.stored == stored and data.binary == (dtype == "?")
    unit = torch.cat([whole(split) for split in (data.train, data.valid, data.test)])
    values = data.scale.to_values(unit / 255 if unit.dtype == torch.uint8 else unit).double().numpy()
    expected = (x * 255.0 if dtype == "?" else x.astype(float))[:, None]
    low, high = data.scale.low, data.scale.high
    assert np.allclose(np.sort(values.ravel()), np.sort(expected.clip(low, high).ravel()), atol=1e-4, rtol=0)


def test_real_numbers_that_are_levels_become_these(tmp_path):
    levels = RNG.integers(256, size=(9, 1, 4, 4))
    np.savez(tmp_path / "x.npz", train=levels[:6] / 255, test=(levels[6:] / 255).astype(np.float32))
    data = load("arrays", path=str(tmp_path / "x.npz"))
    assert same(data, Dataset.of(levels[:6].astype(np.uint8), test=levels[6:].astype(np.uint8)))
    assert load("arrays", path=str(tmp_path / "x.npz"), scale={"low": 0.0, "high": 2.0}).train.images.max() <= 0.5


def test_zeros_and_ones_are_black_and_white(tmp_path):
    x = X[:, :1] % 2
    np.save(tmp_path / "x.npy", x.astype(np.uint8))
    data = load("arrays", path=str(tmp_path / "x.npy"))
    assert data.binary and same(data, Dataset.of((x * 255).astype(np.uint8)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "IN_MEMORY", 0)
        with pytest.raises(UsageError, match="levels 0 and 1 only, and white is 255"):
            load("arrays", path=str(tmp_path / "x.npy"))


def test_options_of_every_set_apply(tmp_path, lazy):
    np.save(tmp_path / "x.npy", X)
    for options in ({"resize": 8, "pad": 1}, {"crop": 3}, {"scale": "percentile"}, {"train_size": 4, "test_size": 2}):
        assert same(load("arrays", path=str(tmp_path / "x.npy"), **options), Dataset.of(X, **options))


def test_arrays_are_found_in_data_directories(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "names.npy", Y)
    data = load("arrays", directory=tmp_path, path="x.npy", labels="names.npy")
    assert same(data, Dataset.of(X, Y))


@pytest.mark.parametrize(
    ("found", "options", "said"),
    [
        ({"a": X[0, 0]}, {}, r"x\.npz holds no images \(a uint16 \[5, 4\]\); set data.images to the name of an array"),
        ({"a": X[None]}, {"images": "a"}, r"is \[1, 23, 3, 5, 4\], and a set is \[N, H, W\] or \[N, C, H, W\]"),
        ({"a": X, "b": X}, {}, r"holds a uint16 \[23, 3, 5, 4\], b uint16 \[23, 3, 5, 4\]; set data.images"),
        ({"a": X}, {"images": "c"}, r"x\.npz holds no array 'c' \(a uint16 \[23, 3, 5, 4\]\); set data.images"),
        (
            {"x": X, "y": Y},
            {"labels": "c"},
            r"no array 'c' \(x uint16 .*\), and no .npy file of that name is beside it",
        ),
        ({"x": X, "y": Y[:9]}, {}, r"the train labels as \[9\] beside 23 images"),
        ({"x": X, "y": Y / 2}, {"labels": "y"}, r"y float64 \[23\] are no classes of images; give data.labels"),
        ({"x": X.transpose(0, 2, 3, 1)}, {}, r"looks like \[N, H, W, C\]; give data.axes: NHWC, or NCHW"),
        ({"x": np.zeros((9, 16, 16, 13))}, {}, r"looks like \[N, H, W, C\]; give data.axes: NHWC, or NCHW"),
        ({"x": np.zeros((4, 4, 99))}, {}, r"looks like \[H, W, N\]; give data.axes: HWN, or NHW"),
        ({"x": X}, {"axes": "NHW"}, r"holds no images"),
        ({"x": X}, {"axes": "NXYZ"}, "data.axes 'NXYZ' is no order of images"),
        ({"x": X[:, :0]}, {}, "no train images"),
        ({"x": X.astype(complex)}, {"images": "x"}, "is complex128, which are no numbers; save its values as numbers"),
        ({"x": X.astype(object)}, {"images": "x"}, "is object, which are no numbers"),
        ({"x_test": X}, {}, r"holds no images for training \(x_test uint16"),
        ({"x_a": X, "x_b": X}, {"train": "a", "test": "c"}, r"has nothing called 'c' \(x_a .*; correct data.test"),
        ({"x": X.astype(np.int64) + 2**24}, {}, "whole numbers up to 16,842,.* are no float32; scale the images"),
        (
            {"x": np.where(np.arange(X.size).reshape(X.shape) % 600 == 90, np.inf, X)},
            {},
            "have 3 values NaN or infinite, the first at image 1, channel 1, row 2, column 2; mend them",
        ),
        ({"x": X, "test_x": X[:, :2]}, {"train": "x", "test": "test"}, "images of different shapes"),
        ({"x_train": X, "x_test": X / 7}, {}, "images of different types, train uint16, test float32"),
    ],
)
def test_what_are_no_images_is_refused_in_one_sentence(tmp_path, lazy, found, options, said):
    np.savez(tmp_path / "x.npz", **found)
    with pytest.raises(UsageError, match=said) as error:
        load("arrays", path=str(tmp_path / "x.npz"), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["x.npy", "x.npz", "compressed.npz", "x.h5", "chunked.h5", "x.tif", "zlib.tif", "x.zip"]
)
@pytest.mark.parametrize("kept", [0, 0.1, 0.6, 0.99])
def test_a_truncated_file_is_damaged(tmp_path, lazy, name, kept):
    path = tmp_path / name
    if name == "x.npy":
        np.save(path, X)
    elif "tif" in name:
        tifffile.imwrite(path, X[:, 0], compression="zlib" if name == "z.tif" else None)
    else:
        writer = {"chunked.h5": "chunked.hdf5"}.get(name, name)
        WRITERS[writer](path, {"x": X})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UsageError) as error:
        data = load("arrays", path=str(path), test_size=1, valid_size=1)
        [whole(split) for split in (data.train, data.valid, data.test)]
    assert str(path) in str(error.value) and str(error.value).endswith("copy or make it again")


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"imagej": True}, {"metadata": None}, {"bigtiff": True}]
)
def test_a_stack_that_was_cut_is_no_smaller_set(tmp_path, options, capsys):
    axes = {"metadata": {"axes": "TYX"}} if "imagej" in options else {}
    tifffile.imwrite(path := tmp_path / "x.tif", X[:, 0], photometric="minisblack", **options | axes)
    content = path.read_bytes()
    for kept in range(200, len(content), 211):
        path.write_bytes(content[:kept])
        with pytest.raises(UsageError, match=r"x\.tif is truncated"):
            load("arrays", path=str(path))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("harm", [lambda content: content[: len(content) // 2], lambda content: b"\0" * len(content)])
def test_a_damaged_chunk_is_named(tmp_path, lazy, harm):
    zarr_group(tmp_path / "x.zarr", {"x": X})
    chunk = tmp_path / "x.zarr/x/c/1/0/0/0"
    chunk.write_bytes(harm(chunk.read_bytes()))
    with pytest.raises(UsageError, match=r"x\.zarr is truncated, damaged or another file \(.*; copy or make it again"):
        whole(load("arrays", path=str(tmp_path / "x.zarr")).train)


@pytest.mark.parametrize(
    ("x", "options", "said"),
    [
        (X.transpose(0, 2, 3, 1), [], "looks like [N, H, W, C]; give data.axes: NHWC, or NCHW"),
        (np.where(X[5, 0, 0, 0] == X, np.nan, X), [], "the first at image 5, channel 0, row 0, column 0; mend them"),
        (X, ["data.labels=y.npy"], "correct data.labels"),
        (X, ["data.images=digits"], "set data.images to the name of an array"),
    ],
)
def test_a_mistake_at_the_command_line_is_one_sentence_and_leaves_nothing(tmp_path, x, options, said):
    np.save(tmp_path / "x.npy", x)
    words = ["train", "mnist-conv", "data.kind=arrays", f"data.path={tmp_path / 'x.npy'}", *options]
    done = CliRunner().invoke(app, [*words, "--run", str(tmp_path / "run")])
    assert done.exit_code == 2 and done.output.count("\n") == 1 and done.output.strip().endswith(said), done.output
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, r"there is no '.*x\.dat' \(looked for .*correct data.path"),
        (lambda path: path.write_bytes(b"1"), r"x\.dat is none of \.npy, \.npz, \.h5, "),
        (lambda path: path.mkdir(), r"x\.dat is a folder without \.npy files or a Zarr array; correct data.path"),
        (lambda path: __import__("os").mkfifo(path), r"x\.dat is neither a file nor a folder; correct data.path"),
    ],
)
def test_what_is_no_file_of_arrays_is_refused(tmp_path, make, said):
    make(tmp_path / "x.dat")
    with pytest.raises(UsageError, match=said):
        load("arrays", path=str(tmp_path / "x.dat"))


@pytest.mark.parametrize(("name", "module", "extra"), [("x.h5", "h5py", "hdf5"), ("x.zarr", "zarr", "zarr")])
def test_a_missing_library_is_named(tmp_path, monkeypatch, name, module, extra):
    WRITERS[name](tmp_path / name, {"x": X})
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UsageError, match=rf"read by {module}, which is not there; pip install 'vaelab\[{extra}\]'"):
        load("arrays", path=str(tmp_path / name))


TEXT = np.array(["cat", "dog", "é", "bird"])[Y]


def hdf5_text(path, found):
    with h5py.File(path, "w") as file:
        for name, x in found.items():
            file.create_dataset(name, data=x.astype(object) if x.dtype.kind == "U" else x)


@pytest.mark.filterwarnings("ignore:The data type")  # of Zarr about text
@pytest.mark.parametrize("name", ["x.npz", "x.h5", "x.zarr", "folder"])
def test_labels_of_text_are_classes_by_name(tmp_path, name):
    (hdf5_text if name == "x.h5" else WRITERS[name])(tmp_path / name, {"x": X, "kind": TEXT})
    data = load("arrays", path=str(tmp_path / name), labels="kind")
    assert data.classes == ("bird", "cat", "dog", "é")
    assert same(data, Dataset.of(X, np.array([1, 2, 3, 0])[Y]))


def test_chunks_of_very_many_images_are_warned_of(tmp_path, lazy):
    x = np.zeros((3000, 2, 2), np.uint8)
    hdf5(tmp_path / "x.h5", {"x": x}, chunks=(1000, 1, 2), compression="gzip")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        load("arrays", path=str(tmp_path / "x.h5"))
    said = ["has chunks of 1,000 images, all of which are read for any of them; batches would come faster from chunks"]
    assert len(told) == lazy and all(part in str(w.message) for part, w in zip(said, told, strict=False))


@pytest.mark.parametrize("name", WRITERS)
def test_threads_may_read_at_once(tmp_path, monkeypatch, name):
    monkeypatch.setattr(arrays, "IN_MEMORY", 0)
    WRITERS[name](tmp_path / name, {"images": X})
    images = load("arrays", path=str(tmp_path / name), valid_size=1, test_size=1).train.images
    rows = [torch.randint(len(images), (9,)) for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: images[index], rows))
    every = images[:]
    assert all(torch.equal(x, every[index]) for x, index in zip(found, rows, strict=True))
