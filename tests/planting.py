"""Plant a defect in the source of the library, for as long as a block lasts."""

from __future__ import annotations
import __future__

import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest.mock import patch

Trial = TypeVar("Trial", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Defect:
    """A mistake: in the function ``module:name``, or ``module:Class.name``, the words ``right`` become ``wrong``."""

    where: str
    right: str
    wrong: str


class Trials(dict[str, tuple[Callable[..., None], Defect]]):
    """Trials that pass, each with the mistake in the library with which it must fail, by a name of the mistake."""

    def catches(self, name: str, where: str, right: str, wrong: str) -> Callable[[Trial], Trial]:
        """Note a trial."""

        def noted(trial: Trial) -> Trial:
            self[name] = (trial, Defect(where, right, wrong))
            return trial

        return noted


@contextmanager
def planted(defect: Defect) -> Iterator[None]:
    """Put the wrong function in place of the right one, and wherever the library has imported it from there."""
    module_name, _, path = defect.where.partition(":")
    module: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    owner = module
    for part in outer:
        owner = getattr(owner, part)
    right = getattr(owner, name)
    wrong = _rewritten(module, right, name, defect)
    with ExitStack() as stack:
        stack.enter_context(patch.object(owner, name, wrong))
        for other in [m for n, m in sys.modules.items() if n.startswith("vsearch") and m is not module]:
            if not outer and other.__dict__.get(name) is right:
                stack.enter_context(patch.object(other, name, wrong))
        yield


def _rewritten(module: Any, function: Any, name: str, defect: Defect) -> Any:
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(defect.right) == 1, f"{defect.where} does not have these words once: {defect.right}"
    flags = __future__.annotations.compiler_flag
    code = compile(source.replace(defect.right, defect.wrong), f"<{defect.where}>", "exec", flags)
    made: dict[str, Any] = {}
    exec(code, module.__dict__, made)
    return made[name]
