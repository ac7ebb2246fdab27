"""The shape of the code: who may import whom, who may write, and what must never be there.

The rules are in layer_rules.py.  Every rule is given planted sources that it must catch and innocent ones that it must
let pass, so that no rule is blind.
"""

import ast
import re
import subprocess
import sys

import pytest
from layer_rules import (
    FLOORS,
    ROOT,
    RULES,
    Rule,
    cycles,
    faiss_files,
    floors,
    manners,
    modules,
    names,
    own_house,
    pickles,
    picture_folders,
    writes,
)

# ---------------------------------------------------------------- the product keeps them


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps(rule: Rule):
    assert [breach for module, tree in modules().items() for breach in rule(tree, module)] == []


def test_the_architecture_page_shows_these_floors():
    page = (ROOT / "docs" / "architecture.md").read_text()
    shown = re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert {int(floor): tuple(rooms.replace("`", "").split(", ")) for floor, rooms in shown} == FLOORS


def test_no_circles():
    assert cycles(modules()) == []


# ---------------------------------------------------------------- and no rule is blind

PLANTS: list[tuple[Rule, str, str]] = [
    (floors, "vsearch.types", "import vsearch.files"),
    (floors, "vsearch.files", "from vsearch.store import Store"),
    (floors, "vsearch.sources.folder", "from vsearch import files"),
    (floors, "vsearch.sources.folder", "def f():\n    from vsearch.decode.pool import DecodePool"),
    (floors, "vsearch.store.store", "if TYPE_CHECKING:\n    from vsearch.ann import Ann"),
    (floors, "vsearch.kernels", "from .store import Store"),
    (floors, "vsearch.store.store", "from ..index import Index"),
    (floors, "vsearch.ingest.pipeline", "import vsearch"),
    (floors, "vsearch.embed.mini", "from vsearch import create"),
    (floors, "vsearch.ingest", "import importlib\nimportlib.import_module('vsearch.index')"),
    (floors, "vsearch.attic", "x = 1"),
    (picture_folders, "vsearch.index", "from vsearch.moving import Mover"),
    (picture_folders, "vsearch.cli.dups", "from vsearch import moving"),
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

HEAVY = "{'numpy', 'torch', 'faiss', 'duckdb', 'pyarrow', 'open_clip', 'timm', 'PIL', 'lmdb'} & set(sys.modules)"


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
