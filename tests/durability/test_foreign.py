"""Whatever an index from elsewhere says, nothing outside it is written, renamed or removed.  The short form."""

from pathlib import Path

import pytest

from tests.durability.escapes import escapes, removals
from tests.durability.foreign import DEFECTS, Watched, trial
from tests.durability.trace import find_strace

pytestmark = pytest.mark.torture


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    if find_strace() is None:
        pytest.skip("strace is not installed")
    with Watched(tmp_path_factory.mktemp("watched")) as made:
        yield made


def test_nothing_outside_a_changed_index_is_touched(watched, workshop):
    done = trial(watched, workshop, 25, seed=1)
    assert done.failures == []
    assert (done.indexes, done.commands) == (25, 125)
    assert done.exits[0] > 10 and done.exits[2] > 10


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught(watched, workshop, defect):
    assert trial(watched, workshop, 100, seed=4, defect=defect).failures


def hexed(path: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in path.encode())


LINES = """
7 openat(AT_FDCWD<%(work)s>, "%(index)s", O_RDWR|O_CLOEXEC) = 3<%(index)s>
7 openat(AT_FDCWD<%(work)s>, "%(index)s", O_RDONLY) = 3<%(elsewhere)s>
7 openat(AT_FDCWD<%(work)s>, "%(index)s", O_RDWR) = 3<%(elsewhere)s>
7 unlinkat(4<%(folder)s>, "%(up)s", 0) = 0
7 unlink("%(through)s") = -1 ENOENT (No such file or directory)
7 unlink("%(through)s" <unfinished ...>
8 rename("%(index)s", "%(elsewhere)s") = 0
7 <... unlink resumed>) = 0
7 symlink("%(elsewhere)s", "%(index)s") = 0
"""


def test_what_strace_writes_is_understood():
    paths = {"work": "/work", "index": "/x/i/FORMAT", "elsewhere": "/y/e", "folder": "/x/i/spaces", "up": "../../z"}
    lines = (LINES % {name: hexed(path) for name, path in {**paths, "through": "/x/i/link/a"}.items()}).splitlines()
    found = escapes(lines, [Path("/x/i")], {b"/x/i/link": b"/y"})
    assert found == ["openat b'/y/e'", "unlinkat b'/x/z'", "rename b'/y/e'", "unlink b'/x/i/link/a'"]
    assert removals(lines) == [b"/x/z", b"/x/i/link/a"]
