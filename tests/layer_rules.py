"""The rules of the code's shape, each a function of one module's syntax tree that returns what breaks it."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vsearch"

FLOORS = {
    0: ("errors", "types", "bounds", "kernels"),
    1: ("members", "arguments"),
    2: ("sources", "decode", "files", "phrases", "prompts", "recipe", "recipes", "present"),
    3: ("remembered",),
    4: ("embed", "store", "ann", "moving", "results"),
    5: (
        "filters",
        "ingest",
        "build",
        "maintenance",
        "labels",
        "texts",
        "duplicates",
        "confidence",
        "projection",
    ),
    6: ("search", "roots", "distributed", "export", "remote"),
    7: ("index",),
    8: ("evaluate", "following", "sharded"),
    9: ("__init__",),  # the lazy names of `import vsearch`
    10: ("train",),
    11: ("rerank",),
    12: ("server", "adapters"),
    13: ("cli",),
    14: ("__main__",),
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

# Rooms that keep their hands off the disk: what they write goes through files.py, or through LMDB itself.
HANDS_OFF = {"store", "ann", "kernels", "search", "build", "index", "ingest", "recipe", "sources"}
HANDS_OFF |= {"labels", "texts", "duplicates", "moving"}
# The one room that moves pictures, and those that may call it or name what it returns.
MOVERS = {"moving", "duplicates"}

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


@cache
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


def picture_folders(tree: ast.Module, module: str) -> list[str]:
    """Files in the user's folders are moved by one room, for the one command that is asked to."""
    if room_of(module) in MOVERS:
        return []
    return [f"{module} imports {name}" for name in imports(tree, module) if name.startswith("vsearch.moving")]


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
    if FLOOR.get(room_of(module), 9) >= FLOOR["cli"]:
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


RULES: list[Rule] = [floors, own_house, writes, picture_folders, faiss_files, pickles, manners, names]


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
