"""One arithmetic: compiled, uncompiled, and driven bar by bar, a run gives the same books to the bit.

And what was compiled is never older than its text: the cache is named by a hash of every file that shapes compiled
code. The last tests compile the whole core afresh, which takes a minute or two.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from oracle_scenarios import random_scenario
from scenario_engine import prepare, write_order

import backtest
from backtest import kernel
from backtest.engine.advance import advance
from backtest.ledger.audit import audit
from backtest.state import (
    F_ACCOUNT,
    F_BAR,
    FILL_ROWS,
    INCIDENT_ROWS,
    L_ACCOUNT,
    L_BAR,
    LEDGER_ROWS,
    LIVED,
    N_ACCOUNT,
    N_BAR,
    ORDER_ROWS,
    Book,
)

ROOT = Path(__file__).resolve().parent.parent
STORIES = [
    ("calm", 1),
    ("calm", 3),
    ("calm", 8),
    ("liquidation", 0),
    ("liquidation", 1),
    ("liquidation", 5),
    ("liquidation", 11),
]
Digests = dict[str, str]


def at_once(story: dict[str, Any]) -> Book:
    """Every order on the table from the start, one call of the engine."""
    _, book, rules, tape = prepare(story)
    assert advance(book, rules, tape, story["bars"], story["bars"], -1, 0) == LIVED
    return book


def bar_by_bar(story: dict[str, Any]) -> Book:
    """As a strategy drives it: a bar is lived through, then the orders for the next one are written."""
    plans, book, rules, tape = prepare(story | {"orders": []})
    names, symbols = [plan.name for plan in plans], list(story["instruments"])
    for bar in range(story["bars"]):
        assert advance(book, rules, tape, bar + 1, bar + 1, -1, 0) == LIVED
        for order in story["orders"]:
            if order["bar"] == bar:
                write_order(book, order, names, symbols)
    return book


def canonical(rows: np.ndarray, bar: Any, account: Any) -> np.ndarray:
    """Places of the rows in the order bar, account, as written."""
    return np.lexsort((np.arange(len(rows)), rows[:, account], rows[:, bar]))


def money(book: Book) -> str:
    """Digest of all that was paid, held, filled and refused, of what was required, and how near to it every bar came,
    in which wallet; rows in canonical order.
    """
    audit(book)
    ledger = book.ledger[: book.count[LEDGER_ROWS]]
    fills, prices = book.fill[: book.count[FILL_ROWS]], book.fill_price[: book.count[FILL_ROWS]]
    incidents = book.incident[: book.count[INCIDENT_ROWS]]
    by = canonical(fills, F_BAR, F_ACCOUNT)
    ledger = ledger[canonical(ledger, L_BAR, L_ACCOUNT)]
    incidents = incidents[canonical(incidents, N_BAR, N_ACCOUNT)]
    return digest(
        ledger, fills[by], prices[by], incidents,
        book.balance, book.contracts, book.cost, book.total, book.topped_up, book.order[: book.count[ORDER_ROWS]],
        book.path, book.wallet_path, book.headroom,
    )  # fmt: skip


def everything(book: Book) -> str:
    """Digest of the money, rows as they were written."""
    counted = {"ledger": LEDGER_ROWS, "fill": FILL_ROWS, "fill_price": FILL_ROWS, "incident": INCIDENT_ROWS}
    rows = [getattr(book, name)[: book.count[rows]] for name, rows in counted.items()]
    return digest(*rows, book.count) + money(book)


def digest(*arrays: np.ndarray) -> str:
    """Hash of the arrays' bits."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def digests() -> dict[str, Any]:
    """Digests of every story, with how this process computes."""
    found: dict[str, Any] = {"compiled": not numba.config.DISABLE_JIT, "runtime": kernel.RUNTIME, "forced": 0}
    for kind, seed in STORIES:
        story = random_scenario(seed, kind)
        book = at_once(story)
        found["forced"] += int(book.count[INCIDENT_ROWS])
        found[f"{kind} {seed}"] = everything(book)
        found[f"{kind} {seed} money"] = money(book)
        found[f"{kind} {seed} bar by bar"] = money(bar_by_bar(story))
    return found


def stories(found: dict[str, Any]) -> Digests:
    """The digests alone."""
    return {name: value for name, value in found.items() if name[-1].isdigit() or " " in name}


def elsewhere(program: str, package: Path = ROOT, **environment: str) -> Any:
    """What a program prints as JSON, run in a process of its own with the package found in that folder."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "BACKTEST_"))}
    given |= {"PYTHONPATH": os.pathsep.join([str(package), str(ROOT / "tests")])} | environment
    done = subprocess.run([sys.executable, "-c", program], env=given, cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


DIGESTS = "import json, test_one_code_path as t; print(json.dumps(t.digests()))"


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    found: dict[str, Any] = elsewhere(DIGESTS)
    return found


def test_a_run_is_the_same_to_the_bit_compiled_and_uncompiled(compiled: dict[str, Any]) -> None:
    plain = elsewhere(DIGESTS, NUMBA_DISABLE_JIT="1")
    assert compiled["compiled"] and not plain["compiled"]
    assert plain["forced"] >= 3  # there are liquidations in it
    assert stories(plain) == stories(compiled)


def test_a_run_driven_bar_by_bar_moves_the_same_money_as_one_lived_through_at_once(compiled: dict[str, Any]) -> None:
    for kind, seed in STORIES:
        assert compiled[f"{kind} {seed} bar by bar"] == compiled[f"{kind} {seed} money"], (kind, seed)


def test_another_history_has_another_digest(compiled: dict[str, Any]) -> None:
    """A digest that could not tell two runs apart would prove nothing."""
    found = [compiled[f"{kind} {seed}"] for kind, seed in STORIES]
    assert len(set(found)) == len(found)


# The cache


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that may be edited."""
    shutil.copytree(ROOT / "backtest", tmp_path / "backtest", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_a_change_in_any_file_of_the_core_names_another_cache(package: Path) -> None:
    copy = package / "backtest"
    known = {kernel.source_digest(copy)}
    for path in kernel.kernel_sources(copy):
        before = path.read_bytes()
        path.write_bytes(before + b"\n# a word\n")
        known.add(kernel.source_digest(copy))
        path.write_bytes(before)
    assert len(known) == 1 + len(kernel.kernel_sources(copy))
    assert kernel.source_digest(copy) in known


def test_a_new_file_in_the_core_names_another_cache(package: Path) -> None:
    before = kernel.source_digest(package / "backtest")
    (package / "backtest" / "margin" / "new_rule.py").write_text("RATE = 0.5\n")
    assert kernel.source_digest(package / "backtest") != before


def compiled_files() -> Iterator[tuple[Path, ast.Module]]:
    """Every file of the package in which something is compiled."""
    for path in sorted((ROOT / "backtest").rglob("*.py")):
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        marks = {ast.unparse(mark) for function in functions for mark in function.decorator_list}
        if marks & {"kernel", "entry"} or any(mark.startswith(("njit", "numba.", "overload")) for mark in marks):
            yield path, tree


def test_the_cache_is_named_by_every_file_with_compiled_code_and_every_file_it_takes_names_from() -> None:
    """A constant frozen into compiled code from a file outside the hash would go stale unseen."""
    hashed, found = set(kernel.kernel_sources()), 0
    for path, tree in compiled_files():
        found += 1
        assert path in hashed, path.name
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("backtest."):
                source = ROOT / Path(*str(node.module).split(".")).with_suffix(".py")
                assert source in hashed or node.module == "backtest.errors", f"{path.name} takes from {node.module}"
    assert found > 15


# One wallet, 10 contracts at 100 with a rate of 1 %: maintenance margin is 10, by the rule as it stands.
MAINTENANCE = """
import json
from test_arithmetic import Desk, asset, future
from backtest.margin.tiers import require_tiers
from backtest.span import Bars
from backtest.state import CLOSE, MAINTENANCE, POSITIONS, ASSETS, SETTLING
import backtest
assets = {"USDT": asset([1.0]), "BTC": asset([100.0])}
desk = Desk({"BTC/USDT:USDT": future("BTC", [100.0])}, assets, {"usdm": {"USDT": 500.0}})
book, wallet = desk.book, desk.shape.wallet("usdm", 0)
book.contracts[0, 0], book.cost[0, 0] = 10 * 10**8, 1000 * 10**8
book.held[0, wallet, POSITIONS, :2], book.held[0, wallet, ASSETS, :2] = (1, 0), (1, 0)
book.held[0, wallet, SETTLING, 0] = 1
require_tiers(book, desk.rules, desk.tape, desk.tape.series, wallet, Bars(0, 0, 1), CLOSE, 1)
times = require_tiers.stats.cache_hits if hasattr(require_tiers, "stats") else {}
print(json.dumps([float(book.need[MAINTENANCE, 0]), sum(times.values()), backtest.__file__]))
"""
RULE = "out[j] += rate * abs(held(contracts, span, j) * price(value, span, j)) + offset"


@pytest.mark.slow
def test_an_edited_margin_rule_asks_the_new_margin_at_once(package: Path, tmp_path: Path) -> None:
    """The rule is edited in one file and asked through another, which is unchanged and has been compiled before."""
    environment = {"BACKTEST_CACHE": str(tmp_path / "cache"), "BACKTEST_WRAPPED": "1"}
    first = elsewhere(MAINTENANCE, package, **environment)
    again = elsewhere(MAINTENANCE, package, **environment)
    assert Path(first[2]).is_relative_to(package)
    assert first[0] == again[0] == pytest.approx(0.01 * 1000)
    assert (first[1], again[1]) == (0, 1)  # the second time it came from the cache
    leaves = package / "backtest" / "margin" / "leaves.py"
    assert leaves.read_text().count(RULE) == 1
    leaves.write_text(leaves.read_text().replace(RULE, RULE.replace("rate *", "2.0 * rate *")))
    edited = elsewhere(MAINTENANCE, package, **environment)
    assert edited[0] == pytest.approx(2 * 0.01 * 1000)
    assert edited[1] == 0


LARGEST = """
import json
from test_blocks import BTC, Idle, market, settings
from backtest.research.run import open_session, plan_of, prepare
from backtest.strategy import Order
from backtest.engine.capacity import largest_order
from backtest.ledger.post import post
asked = ASKED
history = market(1)
prepared = prepare(settings("cross", Idle), history)
session = open_session(prepared.config, history, [plan_of(prepared.config, prepared.config.account[0], history)])
session.bar = 0 if asked else -1
size = session.max_contracts(0, Order(BTC, contracts=1.0))
print(json.dumps([size, *(sum(each.stats.cache_hits.values()) for each in (post, largest_order))]))
"""


@pytest.mark.slow
def test_what_is_compiled_later_is_linked_with_what_was_kept_and_answers_the_same(tmp_path: Path) -> None:
    """The first process compiles `post` alone; the second finds it and compiles the largest order, which posts; the
    third finds both.
    """
    environment = {"BACKTEST_CACHE": str(tmp_path / "cache")}
    assert elsewhere(LARGEST.replace("ASKED", "False"), **environment) == [0.0, 0, 0]
    found = elsewhere(LARGEST.replace("ASKED", "True"), **environment)
    again = elsewhere(LARGEST.replace("ASKED", "True"), **environment)
    assert found[1:] == [1, 0] and again[1:] == [1, 1]
    assert found[0] == again[0] > 0.0


BUFFERED = """
import json
from backtest.margin.procyclicality import with_buffer
print(json.dumps([with_buffer(100.0, 0.25, 0.0), *(sum(each.values()) for each in with_buffer.stats[1:])]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["0", "1"])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 700])
def test_what_was_kept_and_is_cut_off_is_compiled_anew_and_kept(
    kind: str, left: int, runtime: str, tmp_path: Path
) -> None:
    """Hits and misses of the cache: none in the first process and in the one that finds a part of a file."""
    environment = {"BACKTEST_CACHE": str(tmp_path), "BACKTEST_NUMBA_RUNTIME": runtime}
    assert elsewhere(BUFFERED, **environment) == [125.0, 0, 1]
    (kept,) = tmp_path.rglob(f"*.{kind}")
    kept.write_bytes(kept.read_bytes()[:left])
    assert elsewhere(BUFFERED, **environment) == [125.0, 0, 1]
    assert elsewhere(BUFFERED, **environment) == [125.0, 1, 0]


@pytest.mark.slow
def test_a_folder_that_takes_no_compiled_code_is_done_without(tmp_path: Path) -> None:
    digest = elsewhere("from backtest.kernel import DIGEST\nprint(repr(DIGEST).replace(chr(39), chr(34)))")
    (tmp_path / digest).mkdir()
    (tmp_path / digest / "backtest.margin.procyclicality").write_text("a file where a folder should be")
    assert elsewhere(BUFFERED, BACKTEST_CACHE=str(tmp_path)) == [125.0, 0, 1]


# The whole core, compiled afresh


def signatures() -> dict[str, int]:
    """How many signatures of each compiled function of the package this process holds."""
    found = {}
    for module in pkgutil.walk_packages(backtest.__path__, "backtest."):
        if module.name.startswith(("backtest.engine", "backtest.margin", "backtest.ledger", "backtest.units")):
            for name, value in vars(importlib.import_module(module.name)).items():
                if hasattr(value, "signatures") and value.py_func.__module__ == module.name:
                    found[f"{module.name}.{name}"] = len(value.signatures)
    return found


def entries() -> set[str]:
    """Full names of the functions that Python calls."""
    found = set()
    for path, tree in compiled_files():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and "entry" in [ast.unparse(mark) for mark in node.decorator_list]:
                found.add(f"{module}.{node.name}")
    return found


FRESH = """
import json, test_one_code_path as t
found = t.digests()
print(json.dumps({"digests": found, "signatures": t.signatures()}))
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A process with an empty cache, and with numba's reference counting, which the product leaves out."""
    cache = str(tmp_path_factory.mktemp("cache"))
    found: dict[str, Any] = elsewhere(FRESH, BACKTEST_CACHE=cache, BACKTEST_NUMBA_RUNTIME="1")
    return found


@pytest.mark.slow
def test_a_run_is_the_same_to_the_bit_with_and_without_the_compilers_own_bookkeeping(
    compiled: dict[str, Any], fresh: dict[str, Any]
) -> None:
    assert fresh["digests"]["runtime"] and not compiled["runtime"]
    assert stories(fresh["digests"]) == stories(compiled)


@pytest.mark.slow
def test_every_rule_is_compiled_once_for_bars_and_once_for_accounts_and_every_entry_once(fresh: dict[str, Any]) -> None:
    found, called = fresh["signatures"], entries()
    assert {"backtest.engine.advance.advance", "backtest.ledger.post.post"} <= called
    assert {name: many for name, many in found.items() if many > (1 if name in called else 2)} == {}
    assert found["backtest.margin.tiers.require_tiers"] == 2
    assert found["backtest.engine.advance.advance"] == 1


def test_no_name_of_the_state_means_two_things() -> None:
    """A column's name given twice would silently read another column."""
    tree = ast.parse((ROOT / "backtest" / "state.py").read_text(encoding="utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    assert len(names) > 200
    assert [name for name in names if names.count(name) > 1] == []


def calls(tree: ast.AST) -> list[ast.Call]:
    """Calls of something by its bare name."""
    return [each for each in ast.walk(tree) if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)]


def test_what_python_asks_of_a_kernel_by_itself_calls_no_other_kernel() -> None:
    """Another kernel has no machine code of its own: asked for it, the process would end without a word."""
    asked = set[tuple[str, str]]()
    for path in (ROOT / "backtest").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        brought = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
        homes = {name.name: str(each.module) for each in brought for name in each.names}
        for each in calls(tree) if homes.get("plain") == "backtest.kernel" else ():
            if each.func.id == "plain" and isinstance(each.args[0], ast.Name):  # type: ignore[attr-defined]
                asked.add((homes[each.args[0].id], each.args[0].id))
    assert ("backtest.margin.tail", "worst_of") in asked
    for home, name in sorted(asked):
        module = importlib.import_module(home)
        source = textwrap.dedent(inspect.getsource(kernel.plain(getattr(module, name))))
        called = {each.func.id for each in calls(ast.parse(source))}  # type: ignore[attr-defined]
        assert not [each for each in called if hasattr(getattr(module, each, None), "py_func")], (home, name)
