"""Short versions of the campaigns, and that each can fail."""

import signal
import time

import pytest

from torture.campaign import GIGABYTE, Judged, Limits, judged, told
from torture.files import Files
from torture.kills import BROKEN, Kills
from torture.recipes import Recipes


@pytest.fixture(scope="module")
def kills(tmp_path_factory) -> Kills:
    return Kills(tmp_path_factory.mktemp("kills"), 0, ("vamp", "growing"))


@pytest.mark.parametrize("case", range(3))
def test_a_killed_training_that_is_resumed_is_one_that_was_not_killed(kills, case):
    assert kills.judge(case).failure == ""


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_resumption_is_noticed(kills, broken):
    assert kills.control("vamp", broken).outcome == "noticed"


@pytest.mark.parametrize(("campaign", "cases"), [(Recipes, 200), (Files, 60)])
def test_what_is_hostile_is_answered(campaign, cases, tmp_path):
    found = dict(judged(campaign(tmp_path, 0).judge, range(cases), Limits(60)))
    assert len(found) == cases
    assert {case: result for case, result in found.items() if result.failure} == {}
    assert len({result.outcome for result in found.values()}) > 1


def misbehave(case: int) -> Judged:
    if case == 1:
        time.sleep(60)
    if case == 2:
        signal.raise_signal(signal.SIGKILL)
    if case == 3:
        assert bytearray(GIGABYTE + GIGABYTE // 8)[0] == 0
    return Judged("any", "done")


def test_hangs_deaths_and_gigabytes_are_failures_of_their_case_alone(capsys):
    found = [*judged(misbehave, (1,), Limits(0.5)), *judged(misbehave, (0, 2, 3, 4), Limits(60))]
    assert [outcome for _, (_, outcome, _) in sorted(found)] == ["done", "hung", "died", "gigabyte", "done"]
    assert not told("any", found, 7)
    said = capsys.readouterr().out
    assert "again: python -m torture --only any --seed 7 --case 3" in said and "5 cases, 3 failed, seed 7" in said
