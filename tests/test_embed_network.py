"""How networks are run: batches that do not fit are halved, and freed memory is kept where that pays."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from vsearch.embed.batchsize import fitting
from vsearch.embed.network import run
from vsearch.errors import EncoderError

CPU = torch.device("cpu")
ROWS = torch.from_numpy(np.random.default_rng(8).normal(size=(150, 6)).astype(np.float32))


class Cramped:
    """Doubles its rows, if there are not more of them than ``room``, and notes how many it was given."""

    def __init__(self, room):
        self.room, self.given = room, []

    def __call__(self, chunk):
        self.given.append(len(chunk))
        if len(chunk) > self.room:
            raise torch.OutOfMemoryError("no room")
        return chunk * 2


@pytest.mark.parametrize("room", [1, 3, 40, 63, 64, 1000])
def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(room):
    forward = Cramped(room)
    assert np.array_equal(run(forward, ROWS, CPU, nn.Identity()), ROWS.numpy() * 2)
    fitted = [n for n in forward.given if n <= room]
    assert sum(fitted) == len(ROWS)  # no row twice


def test_the_size_that_fitted_is_remembered_for_that_network_only():
    one, other = nn.Identity(), nn.Identity()
    run(Cramped(20), ROWS, CPU, one)
    again, fresh = Cramped(20), Cramped(1000)
    run(again, ROWS, CPU, one)
    run(fresh, ROWS, CPU, other)
    assert max(again.given) == 16
    assert max(fresh.given) == 64


def test_a_row_that_does_not_fit_alone_is_an_error_of_ours():
    with pytest.raises(EncoderError, match="memory"):
        run(Cramped(0), ROWS, CPU, nn.Identity())


@pytest.mark.parametrize(
    ("bytes_per_row", "free", "rows"),
    [
        (10, 1000, 64),  # 80 rows in four fifths of it
        (10, 800, 64),  # exactly 64
        (10, 799, 32),
        (10, 12, 1),  # not even one: the network says so itself
        (10, 0, 1),
        (1, 10**12, 1024),
        (0, 10**12, 1024),
    ],
)
def test_a_batch_is_a_power_of_two_that_fits_into_the_free_memory(bytes_per_row, free, rows):
    assert fitting(bytes_per_row, free) == rows


KEEPS = """
import ctypes, os
from vsearch.embed.heap import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
done = keep_freed_memory()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before = resident()
block = libc.malloc(256 << 20)
libc.memset(block, 1, 256 << 20)
libc.free(block)
print(done, (resident() - before) >> 20)
"""


def _kept(**environment):
    malloc = ("MALLOC_", "GLIBC_TUNABLES")
    env = {name: value for name, value in os.environ.items() if not name.startswith(malloc)} | environment
    out = subprocess.run([sys.executable, "-c", KEEPS], env=env, capture_output=True, text=True, check=True).stdout
    done, megabytes = out.split()
    return done == "True", int(megabytes)


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="for glibc")
def test_freed_memory_stays_for_the_next_batch():
    done, megabytes = _kept()
    assert done
    assert megabytes > 200


def test_the_users_own_settings_of_malloc_are_left_alone():
    done, megabytes = _kept(MALLOC_TRIM_THRESHOLD_="131072")
    assert not done
    assert megabytes < 50
