"""Whoever reads what a crew does may be interrupted at any instant, and its threads still end."""

import subprocess
import sys
import threading

import pytest
from interrupted import CAUGHT, first_hang
from layer_rules import ROOT

from vsearch.decode.crew import Crew
from vsearch.errors import DecodeError


def test_jobs_come_back_in_their_order_and_no_more_are_begun_than_asked():
    begun, lock = [], threading.Lock()

    def work(job: int) -> int:
        with lock:
            begun.append(job)
        return job * job

    crew = Crew(3, work, "test")
    taken = 0
    for job, outcome in crew.map(range(200), 5):
        assert (job, outcome) == (taken, taken * taken)
        assert len(begun) <= taken + 5 + 1
        taken += 1
    crew.close()
    assert taken == 200 and sorted(begun) == list(range(200))


def test_what_a_job_raises_is_raised_where_its_answer_is_taken():
    crew = Crew(2, lambda job: 1 // job, "test")
    answers = crew.map([1, 0, 1], 3)
    assert next(answers) == (1, 1)
    with pytest.raises(ZeroDivisionError):
        next(answers)
    crew.close()
    with pytest.raises(DecodeError, match="closed"):
        next(crew.map([1], 1))


def test_an_interrupt_before_any_instruction_leaves_no_thread_waiting():
    hang, tried = first_hang(lambda: Crew(1, abs, "test"))
    assert hang == 0, f"interrupted before instruction {hang} of the caller, the crew never ends"
    assert tried > 100


def test_a_crew_of_futures_is_caught():
    assert subprocess.run([sys.executable, "tests/interrupted.py"], cwd=ROOT, check=False).returncode == CAUGHT
