"""The order of images: every one once in an epoch, whatever the batches and processes, as a function of the step."""

from fractions import Fraction

import pytest
import torch

from vaelab.training import order as module
from vaelab.training.order import Order, end_of, epoch_of, steps_per_epoch

SIZES = [(96, 16), (70, 16), (7, 7), (5, 3), (100, 1), (101, 100)]


@pytest.fixture(params=["listed", "computed"])
def kind(request, monkeypatch):
    if request.param == "computed":
        monkeypatch.setattr(module, "LISTED", 0)
    return request.param


@pytest.mark.parametrize(("images", "batch_size"), SIZES)
def test_each_image_is_once_in_an_epoch_on_any_number_of_processes(kind, images, batch_size):
    order, epochs = Order(images, batch_size, 3), 4
    steps = end_of(epochs, steps_per_epoch(images, batch_size))
    for processes in (1, 2, 3):
        stream = torch.empty(steps, batch_size, dtype=torch.int64)
        for rank in range(processes):
            for step in range(steps):
                stream[step, rank::processes] = order.rows(step)[rank::processes]
        for epoch in stream.flatten()[: epochs * images].split(images):
            assert sorted(epoch.tolist()) == list(range(images))


@pytest.mark.parametrize(("images", "batch_size"), SIZES)
def test_a_step_has_the_same_images_wherever_a_run_begins(kind, images, batch_size):
    known = Order(images, batch_size, 3)
    forward = [known.rows(step) for step in range(30)]
    for step in (29, 17, 0, 28, 5):
        assert torch.equal(known.rows(step), forward[step])
        assert torch.equal(Order(images, batch_size, 3).rows(step), forward[step])
    assert not all(torch.equal(Order(images, batch_size, 4).rows(step), forward[step]) for step in range(30))


@pytest.mark.parametrize(("images", "batch_size"), SIZES)
def test_an_epoch_ends_with_the_step_that_has_its_last_image(images, batch_size):
    per_epoch = steps_per_epoch(images, batch_size)
    ends = [end_of(epoch, per_epoch) for epoch in range(8)]
    for epoch, end in enumerate(ends):
        assert end * batch_size >= epoch * images > (end - 1) * batch_size or epoch == 0
    for steps in range(ends[-1] + 1):
        assert epoch_of(steps, per_epoch) == next(epoch for epoch, end in enumerate(ends) if steps <= end)


def test_the_first_images_of_an_epoch_are_those_of_its_order(kind):
    order = Order(50, 8, 0)
    assert torch.equal(order.first(2, 20), order.of(2)[torch.arange(20)])
    assert sorted(order.first(2, 999).tolist()) == list(range(50))
    assert steps_per_epoch(50, 8) == Fraction(25, 4)
