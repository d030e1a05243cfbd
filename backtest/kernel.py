"""How the arithmetic is compiled, and where the compiled code is kept.

Every rule of the accountant is plain Python that numba compiles; with `NUMBA_DISABLE_JIT=1` the same text runs
uncompiled and gives the same bits, which is how it is debugged and how it is proved. Two decorators: `kernel` for
functions that only other kernels call (no Python wrapper: three quarters of the compile time), `entry` for the few
that Python calls. numba's own cache looks only at the file of the function it compiles, so an edited margin rule in
another file would go on returning yesterday's requirement; ours lives in a directory named by a hash of every
source file of the package, numba's version and the mode.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import njit
from numba.core.codegen import CPUCodeLibrary

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).resolve().parent
WRAPPED = os.environ.get("BACKTEST_WRAPPED", "0") == "1"  # tests of single rules call inner kernels from Python
RUNTIME = os.environ.get("BACKTEST_NUMBA_RUNTIME", "0") == "1"  # numba's reference counting, which no kernel needs


def kernel_sources(package: Path = PACKAGE) -> list[Path]:
    """Every file that holds or shapes compiled code."""
    roots = [package / name for name in ("kernel.py", "bundle.py", "units.py", "span.py", "state.py")]
    return roots + [
        path for folder in ("margin", "ledger", "engine") for path in sorted((package / folder).rglob("*.py"))
    ]


def source_digest(package: Path = PACKAGE) -> str:
    """Hash of every kernel source, numba's version and the compile mode: the name of the cache."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {WRAPPED} {RUNTIME}".encode())
    for path in kernel_sources(package):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def cache_home() -> Path:
    """Directory under which compiled code is kept; falls back to a temporary one where home cannot be written."""
    wished = os.environ.get("BACKTEST_CACHE")
    home = Path(wished) if wished else Path.home() / ".cache" / "collateral-backtest"
    try:
        home.mkdir(parents=True, exist_ok=True)
        return home
    except OSError:
        return Path(tempfile.mkdtemp(prefix="collateral-backtest-"))


CACHE = cache_home() / source_digest()
os.environ["NUMBA_CACHE_DIR"] = str(CACHE)
numba.config.CACHE_DIR = str(CACHE)


def options() -> dict[str, Any]:
    """Compile options: no fast-math (it would break equality to the bit), C's division, no reference counting."""
    chosen: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
    if not RUNTIME and runtime_can_be_off():
        chosen["_nrt"] = False
    return chosen


def runtime_can_be_off() -> bool:
    """Whether numba still takes its private switch; where it does not, kernels are slower, not wrong."""
    try:
        njit(_nrt=False)
    except Exception:  # a private option may vanish in any release
        return False
    return True


OPTIONS = options()


INNER: set[str] = set()


def optimise_once() -> None:
    """Leave the optimiser to the entries: a caller contains what it calls, so optimising each level is waste.

    Worth more than half of the first compile. The method is numba's private one; where it is gone nothing is changed.
    """
    usual = getattr(CPUCodeLibrary, "_optimize_final_module", None)
    if usual is not None:

        def unless_inner(library: Any) -> None:
            if library.name not in INNER:
                usual(library)

        CPUCodeLibrary._optimize_final_module = unless_inner


if not numba.config.DISABLE_JIT:
    optimise_once()


def kernel(function: Function) -> Function:
    """Compile a function that only kernels call. Leaves, the loops themselves, are optimised on their own as well."""
    if not function.__module__.endswith("leaves"):
        INNER.add(function.__qualname__)
    bare = {} if WRAPPED else {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(**OPTIONS, **bare)(function)  # type: ignore[no-any-return]


def entry(function: Function) -> Function:
    """Compile a function that Python calls."""
    return njit(**OPTIONS)(function)  # type: ignore[no-any-return]
