"""What each service wrote is read back, and equals the log; without the network."""

import errno
import importlib.util
import json
import shutil
import struct
import sys
import threading
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vaelab.errors import UsageError, VaelabError
from vaelab.tracking.follow import track
from vaelab.tracking.tracker import make

PICTURE = "figures/epoch_0002_samples.png"


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.fixture
def view(run, capsys):
    """`view(spec)`: send what is new, and read where to look."""

    def send(spec, done=None, folder=run):
        capsys.readouterr()
        track(folder, [spec], done=done)
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("tracking: ")]

    return send


def tensorboard_numbers(folder: Path) -> dict[tuple[str, int], float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
    tags = events.Tags()["scalars"]
    points = [(tag, e.step, e.value) for tag in tags for e in events.Scalars(tag)]
    assert len({p[:2] for p in points}) == len(points), "a point stands twice"
    return {(tag, step): value for tag, step, value in points}


def same_in_float32(found, expected):
    return found == {k: float(np.float32(v)) for k, v in expected.items()}


def test_tensorboard_reads_back(run, view, expected):
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    assert view("tensorboard") == [f"tracking: tensorboard --logdir {run / 'tensorboard'}"]
    assert same_in_float32(tensorboard_numbers(run / "tensorboard"), expected(run))
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    [image] = events.Images("images/samples")
    assert (image.step, image.width, image.height) == (20, 3, 2)
    shown, drawn = (Image.open(p).convert("RGB") for p in (BytesIO(image.encoded_image_string), run / PICTURE))
    assert shown.tobytes() == drawn.tobytes()
    [text] = events.Tensors("recipe/text_summary")
    assert b"latent_dim: 2" in text.tensor_proto.string_val[0]
    [cards] = events.Tensors("custom_scalars__config__")
    [category] = Layout.FromString(cards.tensor_proto.string_val[0]).category
    assert {chart.title: list(chart.multiline.tag) for chart in category.chart}["kl"] == [
        *("train/kl$", "epoch/kl$", "valid/kl$"),
    ]
    assert {"train/kl", "epoch/kl", "valid/kl"} <= set(events.Tags()["scalars"])


def test_tensorboard_goes_on_in_a_resumed_run(run, view, more, expected):
    needs("tensorboard")
    view("tensorboard")
    lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
    (run / "log.jsonl").write_text("".join(line for line in lines if json.loads(line)["step"] <= 10))
    more["rows"](run, 2, first=2, scale=2.0)  # it learns again, with other numbers
    view("tensorboard", done=10)
    found = {k: v for k, v in tensorboard_numbers(run / "tensorboard").items() if k[0] != "test/elbo"}
    assert same_in_float32(found, expected(run, evaluated=False))


def test_tensorboard_below_another_folder(run, view, expected, tmp_path):
    needs("tensorboard")
    view({"kind": "tensorboard", "logdir": str(tmp_path / "all")})
    assert same_in_float32(tensorboard_numbers(tmp_path / "all" / "run"), expected(run))


def test_tensorboard_keeps_runs_of_one_name_apart(run, view, more, expected, tmp_path):
    needs("tensorboard")
    spec, other = {"kind": "tensorboard", "logdir": str(tmp_path / "all")}, tmp_path / "elsewhere" / "run"
    shutil.copytree(run, other)
    more["rows"](other, 1, first=3)
    view(spec)
    [said] = view(spec, folder=other)
    first, second = sorted((tmp_path / "all").iterdir())
    assert first.name == "run" and said == f"tracking: tensorboard --logdir {second}"
    assert same_in_float32(tensorboard_numbers(first), expected(run))
    assert same_in_float32(tensorboard_numbers(second), expected(other))
    for folder in (run, other):  # each goes on in its own, also where the memory of it is lost
        more["rows"](folder, 1, first=4)
        view(spec, folder=folder)
        (folder / "tracking.json").unlink()
        view(spec, folder=folder)
    assert sorted((tmp_path / "all").iterdir()) == [first, second]
    assert same_in_float32(tensorboard_numbers(first), expected(run))


def test_tensorboard_where_none_may_write_fails_at_once(run, tmp_path):
    needs("tensorboard")
    (tmp_path / "file").write_text("")
    with pytest.raises(VaelabError, match=r"make that place writable, or give another by logdir=…, then track"):
        track(run, [{"kind": "tensorboard", "logdir": str(tmp_path / "file")}])


def test_tensorboard_starts_no_thread_where_none_may_write(run, monkeypatch):
    needs("tensorboard")

    def refuse(*_, dir):
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    before = threading.active_count()
    with pytest.raises(VaelabError, match="Read-only file system"):
        track(run, ["tensorboard"])
    assert threading.active_count() == before


def test_tensorboard_that_was_deleted_is_written_again(run, view, more, expected):
    needs("tensorboard")
    view("tensorboard")
    for file in (run / "tensorboard").iterdir():
        file.unlink()
    more["rows"](run, 1, first=3)
    view("tensorboard")
    assert same_in_float32(tensorboard_numbers(run / "tensorboard"), expected(run))


def test_swanlab_offline_reads_back(run, view, expected):
    needs("swanlab")
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    [said] = view({"kind": "swanlab", "mode": "offline"})
    [file] = (run / "swanlab").glob("run-*/run-*.swanlab")
    assert said == f"tracking: swanlab sync {file.parent}"
    reader, numbers, pictures = DataStoreReader(), {}, []
    reader.open(file)
    for data in reader:
        record = Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "scalar":
            numbers[record.scalar.key, record.scalar.step] = record.scalar.value.number
        elif kind == "media":
            pictures.append((record.media.key, record.media.step))
    assert numbers == expected(run)
    assert pictures == [("images/samples", 20)]
    assert "latent_dim" in (file.parent / "files" / "config.yaml").read_text()


def test_swanlab_local_reads_back(run, view, expected):
    needs("swanlab")
    needs("swanboard")
    import sqlite3

    [said] = view({"kind": "swanlab", "mode": "local"})
    assert said == f"tracking: swanlab watch {run / 'swanlab'}"
    [database] = (run / "swanlab").glob("*.swanlab")
    tags = dict(sqlite3.connect(database).execute("select folder, name from tag where type = 'line'"))
    numbers = {}
    for folder, name in tags.items():
        for log in (run / "swanlab").glob(f"run-*/logs/{folder}/*.log"):
            rows = map(json.loads, log.read_text().splitlines())
            numbers |= {(name, row["index"]): row["data"] for row in rows}
    assert numbers == expected(run)


def test_swanlab_without_an_account_is_offline(run, view):
    needs("swanlab")
    [said] = view("swanlab")
    assert "swanlab sync" in said


def test_swanlab_local_says_at_the_start_that_its_dashboard_is_missing(monkeypatch):
    found = {"swanlab": True, "swanboard": None}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found[name])
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["rich", 'swanboard==0.1.10b2; extra == "x"'])
    with pytest.raises(UsageError, match=r"dashboard, which is not installed; pip install 'swanlab\[dashboard\]'"):
        make([{"kind": "swanlab", "mode": "local"}])
    found["swanboard"] = True
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.6")
    with pytest.raises(UsageError, match=r"not installed in version 0\.1\.10b2"):
        make([{"kind": "swanlab", "mode": "local"}])
    make([{"kind": "swanlab", "mode": "offline"}])


def test_wandb_offline_reads_back(run, view, expected):
    needs("wandb")
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    [said] = view("wandb")
    wandb.teardown()  # its service writes the last bytes when it ends
    [file] = (run / "wandb").glob("offline-run-*/run-*.wandb")
    assert said == f"tracking: wandb sync {file.parent}"
    numbers, pictures = {}, []
    for data in leveldb_records(file):
        record = Record()
        record.ParseFromString(data)
        row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
        numbers |= {(k, row["step"]): v for k, v in row.items() if k.count("/") == 1 and isinstance(v, int | float)}
        pictures += [(k, row["step"]) for k in row if k.startswith("images/")]
    assert numbers == expected(run)
    assert {(name.split("/")[1], step) for name, step in pictures} == {("samples", 20)}


def test_mlflow_reads_back(run, view, more, expected):
    needs("mlflow")
    needs("sqlalchemy")
    from mlflow import MlflowClient

    view("mlflow")
    more["rows"](run, 1, first=3)
    [said] = view("mlflow")  # goes on in the same run
    uri = f"sqlite:///{run / 'mlflow.db'}"
    assert said == f"tracking: mlflow ui --backend-store-uri {uri}"
    client = MlflowClient(tracking_uri=uri)
    [tracked] = client.search_runs([client.get_experiment_by_name("vaelab").experiment_id])
    numbers = {
        (name, point.step): point.value
        for name in tracked.data.metrics
        for point in client.get_metric_history(tracked.info.run_id, name)
        if name != "test/elbo"
    }
    assert numbers == expected(run, evaluated=False)
    assert tracked.data.params["model.latent_dim"] == "2"
    assert tracked.info.status == "FINISHED"
    assert list((run / "mlflow").rglob("epoch_0002_samples.png"))


def test_mlflow_that_does_not_answer_is_one_sentence(run):
    needs("mlflow")
    with pytest.raises(VaelabError, match=r"mlflow uri=http://127.0.0.1:9 is dropped: "):
        track(run, [{"kind": "mlflow", "uri": "http://127.0.0.1:9"}])


@pytest.mark.parametrize("name", ["tensorboard", "swanlab", "wandb", "mlflow"])
def test_one_that_is_not_installed_names_its_extra(monkeypatch, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(UsageError, match=rf"{name} is not installed; pip install 'vaelab\[{name}\]'"):
        make([name])


def test_mlflow_without_a_store_needs_a_server(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else name)
    with pytest.raises(UsageError, match=r"pip install 'vaelab\[mlflow\]', or give the uri"):
        make(["mlflow"])
    make([{"kind": "mlflow", "uri": "http://server:5000"}])


class Service(ModuleType):
    """A module in the place of a service, whose runs keep what they are told."""

    def __init__(self) -> None:
        super().__init__("service")
        self.rows, self.ended, self.begun = [], {}, {}
        self.run = SimpleNamespace(id="abc", url="https://service/abc", dir="/tmp/run/files")
        self.run.log = lambda row, step=None: self.rows.append((row, row.get("step", step)))
        self.run.finish = lambda **state: self.ended.update(state)
        self.run.define_metric = lambda *_, **__: None

    def init(self, **options):
        self.begun = options
        return self.run

    def login(self, prompt):
        return False

    def Settings(self, **options):
        return SimpleNamespace(api_key=None, **options)

    def Image(self, path):
        return path

    def numbers(self):
        return {(k, step): v for row, step in self.rows for k, v in row.items() if "/" in k and isinstance(v, float)}


@pytest.fixture
def service(monkeypatch):
    """Swanlab and wandb, both replaced."""
    made = Service()
    made.__spec__ = importlib.util.spec_from_loader("service", None)
    for name in ("swanlab", "wandb"):
        monkeypatch.setitem(sys.modules, name, made)
    return made


CLOUDS = {"swanlab": "cloud", "wandb": "online"}


@pytest.mark.parametrize("name", CLOUDS)
def test_services_are_told_the_log(run, service, expected, name):
    track(run, [name])
    assert service.numbers() == expected(run)
    assert service.begun["mode"] == "offline"  # nobody is logged in
    assert service.begun["config"]["model"] == {"latent_dim": 2}
    assert any("images/samples" in row for row, _ in service.rows)
    assert service.ended in ({"state": "success", "error": None}, {"exit_code": 0})


@pytest.mark.parametrize(("name", "mode"), CLOUDS.items())
def test_clouds_carry_on_with_a_run_and_files_hold_it_whole(run, service, more, expected, capsys, name, mode):
    track(run, [{"kind": name, "mode": mode}])
    before = len(service.rows)
    more["rows"](run, 1, first=3)
    track(run, [{"kind": name, "mode": mode}])
    assert (service.begun["id"], service.begun["resume"]) == ("abc", "allow")
    assert len(service.rows) == before + 5
    for first in (4, 5):
        service.rows.clear()
        more["rows"](run, 1, first=first)
        track(run, [{"kind": name, "mode": "offline"}])
        assert {k: v for k, v in service.numbers().items() if k[0] != "test/elbo"} == expected(run, evaluated=False)
    service.rows.clear()
    capsys.readouterr()
    assert sum(track(run, [{"kind": name, "mode": "offline"}]).values()) == 0
    assert not service.rows and f"delete {run / 'tracking.json'} to send it again" in capsys.readouterr().out


def leveldb_records(path: Path):
    """The records of a log in LevelDB's format, after a header of seven bytes."""
    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield record
            record = b""
