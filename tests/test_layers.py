"""The shape of the code: who may import whom, who may write, and what must never be there.

Each rule is a function of one module's syntax tree that returns what breaks it.  Every rule is also given planted
sources that it must catch and innocent ones that it must let pass, so that no rule is blind.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vsearch"

FLOORS = {
    0: ("errors", "types"),
    1: ("sources", "decode", "files", "recipe", "recipes", "present"),
    2: ("embed", "store", "ann", "exact"),
    3: ("ingest", "search", "build"),
    4: ("index",),
    5: ("evaluate", "train"),
    6: ("server", "cli"),
    7: ("__main__", "__init__"),  # the command's entry and the lazy names of `import vsearch`
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

# Rooms that keep their hands off the disk: what they write goes through files.py, or through LMDB itself.
HANDS_OFF = {"store", "ann", "exact", "search", "build", "index", "ingest", "recipe", "sources"}

WRITING_OS_CALLS = set(
    "chmod chown fchmod ftruncate link makedirs mkdir mkfifo pwrite pwritev remove removedirs rename renames "
    "replace rmdir sendfile symlink truncate unlink utime write writev copy_file_range posix_fallocate".split()
)
WRITING_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"}
WRITING_METHODS = set(
    "write_text write_bytes touch unlink rename rmdir mkdir symlink_to hardlink_to tofile savez".split()
)
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OUTSIDE = {"tools", "tests", "benchmarks"}

Rule = Callable[[ast.Module, str], list[str]]


def modules() -> dict[str, ast.Module]:
    """Every module of the package by dotted name; a package stands for its ``__init__``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def dotted(node: ast.AST) -> str:
    """``os.path.join`` for the expression of that shape, "" for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Dotted names of all that is imported, wherever the statement stands; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{_absolute(node, module)}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func) in {
            "import_module",
            "importlib.import_module",
            "__import__",
        }:
            yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    base = module.split(".")
    if f"{module}." not in PACKAGES:
        base = base[:-1]
    base = base[: len(base) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


PACKAGES = {".".join(path.parent.relative_to(ROOT).parts) + "." for path in PACKAGE.rglob("__init__.py")}


def renamed(tree: ast.AST, module: str) -> list[str]:
    """Statements as ``import os as o``, behind which the rules would not see what is called."""
    aliases = (alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names)
    return [
        f"{module} hides {a.name} as {a.asname}"
        for a in aliases
        if a.asname and a.name in {"os", "io", "pickle", "torch", "faiss"}
    ]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


# ---------------------------------------------------------------- the rules


def floors(tree: ast.Module, module: str) -> list[str]:
    """A module imports only from lower floors, or from its own room."""
    room = room_of(module)
    if room not in FLOOR:
        return [f"{module} is in no floor of the table"]
    found = []
    for name in imports(tree, module):
        if name.split(".")[0] != "vsearch":
            continue
        target = room_of(name)
        if target not in FLOOR:  # a name of the package itself, as in `from vsearch import open`
            target = "__init__"
        if target != room and FLOOR[target] >= FLOOR[room]:
            found.append(f"{module} (floor {FLOOR[room]}) imports {name} (floor {FLOOR[target]})")
    return found


def own_house(tree: ast.Module, module: str) -> list[str]:
    """The product never imports the maintainers' scripts, the tests or the benchmarks."""
    return [f"{module} imports {name}" for name in imports(tree, module) if name.split(".")[0] in OUTSIDE]


def writes(tree: ast.Module, module: str) -> list[str]:
    """Only files.py changes anything on disk for the store, the indexes and what feeds them."""
    if room_of(module) not in HANDS_OFF:
        return []
    found = renamed(tree, module)
    found += [f"{module}:{node.lineno} calls {name}" for name, node in calls(tree) if _is_writing(name, node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in WRITING_FLAGS:
            found.append(f"{module}:{node.lineno} opens with {node.attr}")
    found += [
        f"{module} imports {name}"
        for name in imports(tree, module)
        if name.split(".")[0] == "shutil" or (name.startswith("os.") and name[3:] in WRITING_OS_CALLS | WRITING_FLAGS)
    ]
    return found


def _is_writing(name: str, node: ast.Call) -> bool:
    first, _, last = name.rpartition(".")
    if not name and isinstance(node.func, ast.Attribute):  # a method of something that is not a plain name
        last = node.func.attr
    if last in {"open", "fdopen", "memmap"} and first != "os":
        return _mode_writes(node, last)
    if first == "os" or first == "np":
        return last in WRITING_OS_CALLS or last in {"save", "savez", "savetxt"}
    one_path = len(node.args) == 1 and not node.keywords  # Path.replace(target); str.replace takes two
    is_method = isinstance(node.func, ast.Attribute) and first != "files"
    return is_method and (last in WRITING_METHODS or (last == "replace" and one_path))


def _mode_writes(node: ast.Call, function: str) -> bool:
    """Whether a mode among the arguments writes; a mode that is not a constant is taken for one that does."""
    given = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
    if not given and function == "memmap":
        given = node.args[2:3] or [ast.Constant("r+")]  # numpy's default
    if not given and isinstance(node.func, ast.Name):
        given = node.args[1:2]
    elif not given and isinstance(node.func, ast.Attribute):
        given = [arg for arg in node.args[:2] if isinstance(arg, ast.Constant) and _looks_like_mode(arg.value)]
    return any(not isinstance(mode, ast.Constant) or bool(set(str(mode.value)) & set("wax+")) for mode in given)


def _looks_like_mode(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 3 and set(value) <= set("rwaxbt+")


def faiss_files(tree: ast.Module, module: str) -> list[str]:
    """FAISS writes through a callback: given a path, it can lose the end of a file and say nothing."""
    writers = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name) and dotted(node.value.func).endswith("PyCallbackIOWriter")
    }
    found = []
    for name, node in calls(tree):
        if name.rpartition(".")[2] not in {"write_index", "write_index_binary", "write_VectorTransform"}:
            continue
        target = node.args[1] if len(node.args) > 1 else None
        direct = isinstance(target, ast.Call) and dotted(target.func).endswith("PyCallbackIOWriter")
        if not direct and not (isinstance(target, ast.Name) and target.id in writers):
            found.append(f"{module}:{node.lineno} lets FAISS open the file itself")
    return found


def pickles(tree: ast.Module, module: str) -> list[str]:
    """Nothing that runs code from a file: no pickle, in any of its clothes."""
    found = renamed(tree, module)
    found += [
        f"{module} imports {name}" for name in imports(tree, module) if name.split(".")[0] in PICKLES - {"pickle"}
    ]
    used = {*filter(None, map(dotted, ast.walk(tree))), *imports(tree, module)}
    # the names of its errors may be used, to translate what a library raises
    found += [f"{module} uses {name}" for name in used if name.startswith("pickle.") and not name.endswith("Error")]
    for name, node in calls(tree):
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        if "allow_pickle" in options and not _is(options["allow_pickle"], False):
            found.append(f"{module}:{node.lineno} allows pickles")
        loads_torch = name in {"torch.load", "torch.serialization.load"}
        if loads_torch and not _is(options.get("weights_only"), True):
            found.append(f"{module}:{node.lineno} torch.load without weights_only=True")
        if name in {"torch.export.load", "torch.jit.load", "torch.hub.load"}:
            found.append(f"{module}:{node.lineno} calls {name}")
    return found


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def manners(tree: ast.Module, module: str) -> list[str]:
    """The core never ends the process, never prints and never configures logging."""
    if FLOOR.get(room_of(module), 9) >= 6:
        return []
    rude = {"sys.exit", "exit", "quit", "print", "logging.basicConfig", "sys.stdout.write", "sys.stderr.write"}
    found = [f"{module}:{node.lineno} calls {name}" for name, node in calls(tree) if name in rude]
    raised = (node for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None)
    return found + [
        f"{module}:{node.lineno} raises SystemExit"
        for node in raised
        if dotted(node.exc.func if isinstance(node.exc, ast.Call) else node.exc) == "SystemExit"
    ]


def names(tree: ast.Module, module: str) -> list[str]:
    """No drawer for odds and ends."""
    return [module] if {"utils", "util", "helpers", "common", "misc"} & set(module.split(".")) else []


RULES: list[Rule] = [floors, own_house, writes, faiss_files, pickles, manners, names]


def cycles(trees: dict[str, ast.Module]) -> list[str]:
    """Circles of imports that are made when the modules are loaded."""
    graph = {}
    for module, tree in trees.items():
        written = {name if name in trees else name.rpartition(".")[0] for name in imports(_at_load(tree), module)}
        graph[module] = {name for name in written if name in trees and name != module and name != "vsearch"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _at_load(tree: ast.Module) -> ast.Module:
    """The statements that run at load: nothing inside functions, nothing that only a type checker reads."""

    def kept(body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
                yield from kept(node.orelse)
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
                inner = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
                yield from kept(inner)
            else:
                yield node

    return ast.Module(list(kept(tree.body)), [])


# ---------------------------------------------------------------- the product keeps them


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps(rule: Rule):
    assert [breach for module, tree in modules().items() for breach in rule(tree, module)] == []


def test_no_circles():
    assert cycles(modules()) == []


# ---------------------------------------------------------------- and no rule is blind

PLANTS: list[tuple[Rule, str, str]] = [
    (floors, "vsearch.types", "import vsearch.files"),
    (floors, "vsearch.files", "from vsearch.store import Store"),
    (floors, "vsearch.sources.folder", "from vsearch import files"),
    (floors, "vsearch.sources.folder", "def f():\n    from vsearch.decode.pool import DecodePool"),
    (floors, "vsearch.store.store", "if TYPE_CHECKING:\n    from vsearch.ann import Ann"),
    (floors, "vsearch.ann", "from .store import Store"),
    (floors, "vsearch.store.store", "from ..index import Index"),
    (floors, "vsearch.ingest.pipeline", "import vsearch"),
    (floors, "vsearch.embed.mini", "from vsearch import create"),
    (floors, "vsearch.ingest", "import importlib\nimportlib.import_module('vsearch.index')"),
    (floors, "vsearch.attic", "x = 1"),
    (own_house, "vsearch.cli.index", "from tools import gallery"),
    (own_house, "vsearch.index", "def f():\n    import benchmarks.run"),
    (own_house, "vsearch.index", "from tests.durability import model"),
    (writes, "vsearch.store.store", "open(path, 'wb')"),
    (writes, "vsearch.store.store", "open(path, mode='r+')"),
    (writes, "vsearch.store.store", "open(path, mode)"),
    (writes, "vsearch.ann", "path.open('a')"),
    (writes, "vsearch.ann", "(folder / 'x').open('xb')"),
    (writes, "vsearch.ann", "io.open(path, 'w')"),
    (writes, "vsearch.store.segments", "os.open(path, os.O_WRONLY | os.O_CREAT)"),
    (writes, "vsearch.store.segments", "flags = os.O_RDWR"),
    (writes, "vsearch.store.segments", "from os import O_RDWR"),
    (writes, "vsearch.store.segments", "os.rename(a, b)"),
    (writes, "vsearch.store.segments", "os.replace(a, b)"),
    (writes, "vsearch.store.segments", "os.unlink(a)"),
    (writes, "vsearch.store.segments", "os.ftruncate(fd, 0)"),
    (writes, "vsearch.store.segments", "os.pwrite(fd, b'', 0)"),
    (writes, "vsearch.store.segments", "os.write(fd, b'')"),
    (writes, "vsearch.store.segments", "from os import pwrite"),
    (writes, "vsearch.store.segments", "import os as o"),
    (writes, "vsearch.index", "Path('a').write_text('')"),
    (writes, "vsearch.index", "(root / 'a').write_bytes(b'')"),
    (writes, "vsearch.index", "path.unlink()"),
    (writes, "vsearch.index", "path.replace(other)"),
    (writes, "vsearch.index", "path.mkdir()"),
    (writes, "vsearch.ingest.pipeline", "import shutil"),
    (writes, "vsearch.ingest.pipeline", "from shutil import rmtree"),
    (writes, "vsearch.recipe", "np.save(path, x)"),
    (writes, "vsearch.store.segments", "np.memmap(path, np.float16)"),
    (writes, "vsearch.store.segments", "np.memmap(path, np.float16, mode='w+')"),
    (writes, "vsearch.store.segments", "np.memmap(path, np.float16, 'r+')"),
    (writes, "vsearch.sources.folder", "rows.tofile(path)"),
    (faiss_files, "vsearch.ann", "faiss.write_index(index, path)"),
    (faiss_files, "vsearch.ann", "faiss.write_index(index, 'index.faiss')"),
    (pickles, "vsearch.ann", "import pickle\npickle.load(file)"),
    (pickles, "vsearch.ann", "from pickle import Unpickler"),
    (pickles, "vsearch.ann", "import pickle as p"),
    (pickles, "vsearch.ann", "import marshal"),
    (pickles, "vsearch.ann", "from joblib import load"),
    (pickles, "vsearch.ann", "np.load(path, allow_pickle=True)"),
    (pickles, "vsearch.ann", "np.load(path, allow_pickle=flag)"),
    (pickles, "vsearch.embed.lite2", "torch.load(path)"),
    (pickles, "vsearch.embed.lite2", "torch.load(path, weights_only=False)"),
    (pickles, "vsearch.embed.lite2", "torch.export.load(path)"),
    (manners, "vsearch.index", "sys.exit(1)"),
    (manners, "vsearch.index", "raise SystemExit(2)"),
    (manners, "vsearch.index", "raise SystemExit"),
    (manners, "vsearch.store.store", "print('hello')"),
    (manners, "vsearch.store.store", "logging.basicConfig(level=10)"),
    (names, "vsearch.store.utils", "x = 1"),
    (names, "vsearch.common", "x = 1"),
]

INNOCENT: list[tuple[Rule, str, str]] = [
    (floors, "vsearch.store.store", "import os\nfrom vsearch import files\nfrom vsearch.store.segments import Segment"),
    (floors, "vsearch.cli.query", "from vsearch.index import Index\nimport numpy"),
    (floors, "vsearch.store.store", "from .segments import Segment\nfrom ..files import publish"),
    (own_house, "vsearch.cli.index", "from vsearch.files import publish"),
    (writes, "vsearch.files", "open(path, 'wb')"),
    (writes, "vsearch.store.store", "open(path, 'rb')\nopen(path)\npath.open()\nos.open(path, os.O_RDONLY)"),
    (writes, "vsearch.store.store", "name.replace('a', 'b')\nreplace(x, a=1)\nfiles.unlink(path)\nfiles.mkdir(path)"),
    (writes, "vsearch.store.store", "lmdb.open(path, map_size=size)\ntxn.replace(key, value)"),
    (
        writes,
        "vsearch.store.segments",
        "np.memmap(path, np.float16, mode='r')\nnp.memmap(path, np.uint8, 'r')\nos.pread(fd, 4, 0)\nos.listdir(path)",
    ),
    (faiss_files, "vsearch.ann", "faiss.write_index(index, faiss.PyCallbackIOWriter(sink))"),
    (faiss_files, "vsearch.ann", "writer = faiss.PyCallbackIOWriter(sink)\nfaiss.write_index(index, writer)"),
    (pickles, "vsearch.ann", "np.load(path, allow_pickle=False)\nnp.load(path)\ntorch.load(path, weights_only=True)"),
    (pickles, "vsearch.embed.lite2", "import pickle\ntry:\n    f()\nexcept pickle.UnpicklingError:\n    pass"),
    (manners, "vsearch.cli.index", "sys.exit(1)"),
    (manners, "vsearch.decode.worker", "os._exit(1)\nraise ValueError('no')"),
    (names, "vsearch.store.commons", "x = 1"),
]


@pytest.mark.parametrize(("rule", "module", "source"), PLANTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_planted_breach_is_caught(rule: Rule, module: str, source: str):
    assert rule(ast.parse(source), module) != []


@pytest.mark.parametrize(
    ("rule", "module", "source"), INNOCENT, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_an_innocent_source_passes(rule: Rule, module: str, source: str):
    assert rule(ast.parse(source), module) == []


def test_a_planted_circle_is_caught_and_lazy_imports_make_none():
    a, b = "vsearch.store.a", "vsearch.store.b"
    lazy = {a: ast.parse(f"import {b}"), b: ast.parse(f"def f():\n    import {a}\nif TYPE_CHECKING:\n    import {a}")}
    assert cycles(lazy) == []
    circle = {a: ast.parse(f"import {b}"), b: ast.parse(f"try:\n    from {a} import f\nfinally:\n    pass")}
    assert sorted(set(cycles(circle))) == [a, b]


# ---------------------------------------------------------------- what an import costs

HEAVY = "{'numpy', 'torch', 'faiss', 'open_clip', 'timm', 'PIL', 'lmdb'} & set(sys.modules)"


def heavy_after(code: str) -> str:
    program = f"import sys\n{code}\nprint(sorted({HEAVY}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stderr.strip().splitlines()[-1]


def test_import_vsearch_loads_no_heavy_library():
    assert heavy_after("import vsearch") == "[]"


def test_the_heavy_check_sees_numpy():
    assert heavy_after("import numpy") == "['numpy']"


def test_help_loads_no_heavy_library():
    run = "import runpy\nsys.argv = ['vsearch', '--help']\ntry:\n    runpy.run_module('vsearch', run_name='__main__')"
    assert heavy_after(run + "\nexcept SystemExit as end:\n    assert not end.code, end") == "[]"
