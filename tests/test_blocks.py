"""Blocks of jobs that workers take, lose and finish in any order: each job is told once, in order, or given up."""

from itertools import count, islice
from random import Random

import pytest

from vsearch.decode import Job
from vsearch.distributed import blocks
from vsearch.distributed.blocks import Blocks
from vsearch.types import Failure


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 3)
    monkeypatch.setattr(blocks, "AHEAD", 2)


def jobs(number):
    return [Job(b"%d" % n) for n in range(number)]


@pytest.mark.parametrize("seed", range(20))
def test_each_job_is_told_once_and_in_order_whatever_dies(seed):
    random, given, had, told = Random(seed), jobs(50), [], []
    some = Blocks(given, workers=2)
    while True:
        if (outcomes := some.told()) is not None:
            told += outcomes
        elif random.random() < 0.5 and (block := some.take()):
            had.append(block)
        elif had:
            block = had.pop(random.randrange(len(had)))
            if random.random() < 0.1:
                some.lost(block)
            else:
                some.done(block, block.jobs)
        elif (block := some.take()) is None:
            break
        else:
            had.append(block)
    assert not some.under_way
    lost = {outcome.path for outcome in told if isinstance(outcome, Failure)}
    assert [outcome.path for outcome in told] == [job.path for job in given]
    assert all("workers died" in outcome.reason for outcome in told if isinstance(outcome, Failure))
    assert len(lost) < 10


def test_no_more_is_taken_than_may_wait_for_its_turn():
    endless = (Job(b"%d" % n) for n in count())
    some = Blocks(endless, workers=2)
    held = list(iter(some.take, None))
    assert len(held) == 4  # two workers, two blocks each
    assert [job.path for job in islice(endless, 1)] == [b"12"]
    for block in held[1:]:
        some.done(block, block.jobs)
    assert some.take() is None and some.told() is None and some.under_way
    some.done(held[0], held[0].jobs)
    assert some.told() == held[0].jobs
    assert some.take().number == 4


def test_a_block_of_which_workers_die_is_given_up_after_three():
    some = Blocks(jobs(2), workers=1)
    for _ in range(3):
        some.lost(some.take())
    assert some.take() is None
    assert [(failure.path, failure.stage) for failure in some.told()] == [(b"0", "embed"), (b"1", "embed")]
    assert not some.under_way


def test_nothing_to_do_is_done():
    some = Blocks([], workers=1)
    assert some.take() is None and some.told() is None and not some.under_way
