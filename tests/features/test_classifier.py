"""The classifier knows the digits, is kept by content, and is refused where there are no classes."""

import dataclasses

import pytest
import torch

from vaelab.data import load
from vaelab.data.source import Dataset, Split
from vaelab.errors import UsageError, VaelabError
from vaelab.features import classifier as module
from vaelab.features.auto import auto
from vaelab.features.classifier import Classifier

CPU = torch.device("cpu")


@pytest.fixture
def toy() -> Dataset:
    """Dark and light images."""
    labels = torch.arange(60) % 2
    split = Split((torch.rand(60, 1, 8, 8) * 127 + 128 * labels.view(-1, 1, 1, 1)).byte(), labels)
    return Dataset("toy", split, split[:20], split[:20])


def test_digits_are_told_apart(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 150)
    data = load("digits")
    classifier = Classifier(data, CPU)
    assert classifier.accuracy > 0.95
    found, labels = classifier(data.test.images), data.test.labels
    assert found.shape == (250, 128)
    gaps = torch.cdist(found, found).fill_diagonal_(torch.inf)
    assert (labels[gaps.argmin(1)] == labels).double().mean() > 0.95  # the nearest neighbour has the same label


def test_mnist_is_learned_well(real, monkeypatch):
    """In fewer than half of its steps."""
    monkeypatch.setattr(module, "STEPS", 400)
    data = load("mnist", real("mnist"))
    classifier = Classifier(data, CPU)
    guesses = torch.cat([classifier.network(classifier._input(x)).argmax(1) for x in data.test.images.split(500)])
    assert classifier.accuracy > 0.98
    assert (guesses == data.test.labels).double().mean() > 0.98


def test_it_is_trained_once_for_one_content(toy, cache, monkeypatch):
    first = Classifier(toy, CPU)
    monkeypatch.setattr(module, "_train", None)
    again = Classifier(toy, CPU)
    assert (again.hash, again.accuracy) == (first.hash, first.accuracy)
    assert torch.equal(again(toy.test.images), first(toy.test.images))


def test_other_labels_or_augmentation_are_another_classifier(toy, cache):
    others = [
        toy,
        dataclasses.replace(toy, train=Split(toy.train.images, 1 - toy.train.labels)),
        dataclasses.replace(toy, dynamic=True),
    ]
    assert len({Classifier(data, CPU).hash for data in others}) == 3
    assert len(list((cache / "classifiers").iterdir())) == 3


def test_a_damaged_file_is_trained_again(toy, cache):
    first = Classifier(toy, CPU)
    (path,) = (cache / "classifiers").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert Classifier(toy, CPU).hash == first.hash


@pytest.mark.parametrize("labels", [None, torch.zeros(60, dtype=torch.long)], ids=["none", "one"])
def test_without_classes_it_is_refused_and_auto_takes_another(toy, labels):
    data = dataclasses.replace(toy, train=Split(toy.train.images, labels))
    with pytest.raises(UsageError, match="labels of several classes, which toy has not; try squeezenet"):
        Classifier(data, CPU)
    with pytest.raises(VaelabError, match="squeezenet1_1-b8a52dc0"):
        auto(data, CPU)
    assert auto(toy, CPU).name == "classifier"
