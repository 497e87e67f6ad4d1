"""A folder is one training's at a time: however many begin at once, however they end, with and without locks."""

import errno
import json
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

import vaelab
from vaelab.errors import UsageError
from vaelab.recipe.recipe import Recipe
from vaelab.runs import claim
from vaelab.runs.claim import claimed

HOLD = """
import sys
from pathlib import Path
from vaelab.errors import UsageError
from vaelab.runs.claim import claimed

sys.stdin.readline()
try:
    with claimed(Path(sys.argv[1]), new=len(sys.argv) > 2) as folder:
        print(folder, flush=True)
        sys.stdin.readline()
except UsageError as error:
    print(error, flush=True)
"""


@pytest.fixture(params=["locks", "no locks"])
def system(request, monkeypatch):
    """With locks, and as on a file system that has none."""

    def refuse(file):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if request.param == "no locks":
        monkeypatch.setattr(claim, "lock", refuse)


def at_once(*words: object) -> list[tuple[Popen, str]]:
    """Three processes that claim at the same moment, and what each says."""
    command = [sys.executable, "-c", HOLD, *map(str, words)]
    processes = [Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(3)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [(process, process.stdout.readline().rstrip()) for process in processes]


def test_of_processes_at_once_one_has_the_folder_until_it_is_killed(tmp_path):
    said = at_once(tmp_path / "a")
    try:
        [holder] = [process for process, text in said if text == str(tmp_path / "a")]
        assert sum("is being trained by" in text for _, text in said) == 2
        told = f"is being trained by process {holder.pid}; wait for it or stop it"
        with pytest.raises(UsageError, match=told), claimed(tmp_path / "a"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with claimed(tmp_path / "a") as folder:
            assert json.loads((folder / "training.lock").read_text())["pid"] == os.getpid()
    finally:
        for process, _ in said:
            process.kill()
            process.communicate()


def test_begun_at_once_each_has_a_folder_of_its_own(tmp_path):
    threads, start, names = 8, threading.Barrier(8, timeout=30), []

    def begin() -> None:
        start.wait()
        with claimed(tmp_path / "runs" / "a", new=True) as folder:
            names.append(folder.name)
            start.wait()

    workers = [threading.Thread(target=begin) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(names) == ["a", *(f"a-{number}" for number in range(2, threads + 1))]
    assert not list(tmp_path.glob("runs/*"))


def test_a_folder_is_held_by_one_and_let_go(tmp_path, system):
    with claimed(tmp_path / "a") as folder:
        (folder / "file").touch()
        with pytest.raises(UsageError, match=rf"a is being trained by process {os.getpid()}; wait"), claimed(folder):
            pass
        with claimed(tmp_path / "b"):
            pass
    with claimed(tmp_path / "a"):
        pass
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_what_was_made_and_is_empty_goes(tmp_path, system):
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "mine", tmp_path / "runs" / "deep" / "a"):
        with pytest.raises(ZeroDivisionError), claimed(path):
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "mine", new=True) as other:
        assert other == tmp_path / "mine-2"
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and not list((tmp_path / "mine").iterdir())


def test_where_nothing_can_be_locked_a_claim_ends_with_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "lock", lambda file: (_ for _ in ()).throw(OSError(errno.ENOLCK, "")))
    (tmp_path / "a").mkdir()
    with claimed(tmp_path / "a") as folder:
        [file] = folder.iterdir()
        known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"pid": 2**22 + 1}))
    with claimed(folder):
        pass
    file.write_text(json.dumps(known | {"host": "elsewhere"}))
    with pytest.raises(UsageError), claimed(folder):
        pass
    (folder / "log.jsonl").touch()
    os.utime(file, (time.time() - 4000,) * 2)
    with pytest.raises(UsageError), claimed(folder):
        pass
    os.utime(folder / "log.jsonl", (time.time() - 4000,) * 2)
    with claimed(folder):
        pass


def test_a_folder_put_in_the_place_of_ours_keeps_its_lock(tmp_path):
    with ExitStack() as stack:
        with claimed(tmp_path / "a") as folder:
            folder.rename(tmp_path / "moved")
            stack.enter_context(claimed(folder))
        with pytest.raises(UsageError), claimed(folder):
            pass


def test_a_place_that_is_no_folder_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is no folder; correct it"), claimed(tmp_path / "file" / "a"):
        pass
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere" / "a")
    with pytest.raises(UsageError, match=r"could not write .*gone"), claimed(tmp_path / "gone"):
        pass
    with pytest.raises(UsageError, match=r"could not write .*gone"), claimed(tmp_path / "gone" / "a", new=True):
        pass


@pytest.fixture
def meanwhile(monkeypatch):
    """`meanwhile(act)`: let `act` happen once while the next training loads its images, which takes the longest."""
    load = Recipe.load_data

    def arrange(act):
        pending = [act]

        def loading(self, directory=None):
            if pending:
                pending.pop()()
            return load(self, directory)

        monkeypatch.setattr(Recipe, "load_data", loading)

    return arrange


def test_trainings_begun_in_the_same_second_have_folders_of_their_own(recipe, tmp_path, monkeypatch, meanwhile, rows):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda form: "20300101-000000")
    made: list[Path] = []

    def begin(seed: int) -> None:
        made.append(vaelab.train(recipe, f"train.seed={seed}", "train.epochs=1", device="cpu", quiet=True))

    meanwhile(lambda: begin(2))
    begin(1)
    assert sorted(map(str, made)) == ["runs/tiny-20300101-000000", "runs/tiny-20300101-000000-2"]
    assert all(len(rows(folder, kind="epoch")) == 2 and not (folder / "training.lock").exists() for folder in made)


@pytest.mark.parametrize("resume", [False, True])
def test_of_two_trainings_in_a_folder_one_is_refused(train, tmp_path, meanwhile, rows, resume):
    if resume:
        train("a", "train.epochs=1")
    refused = []

    def again() -> None:
        with pytest.raises(UsageError, match="is being trained by process") as error:
            train("a", "train.epochs=2", resume=resume)
        refused.append(error)

    meanwhile(again)
    folder = train("a", "train.epochs=2", resume=resume)
    assert refused and len(rows(folder, kind="epoch")) == 4


def test_what_fails_before_it_trains_leaves_no_folder(train, tmp_path, meanwhile):
    meanwhile(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train("deep/a")
    with pytest.raises(UsageError, match="batch_size"):
        train("deep/a", "train.batch_size=97")
    assert not (tmp_path / "deep").exists()
