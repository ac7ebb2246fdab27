"""Pictures that are there several times, moved into a folder: what the tests of that share."""

import os

from test_promises import tree

from vsearch import moving

ODD = b"odd \xff\n.png"


def files_of(folder):
    """Names, modes, times and bytes of all files; the folders' own times change when something is moved."""
    return {path: told for path, told in tree(folder).items() if not os.path.isdir(path)}


def apply(index, folder, **how):
    return index.move_duplicates(index.duplicates(near=False, **how), folder)


def fail_with(code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


def nothing_to_do(journal):
    return moving.undo(journal) == moving.Undone((), ())
