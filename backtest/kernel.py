"""How the arithmetic is compiled, and where the compiled code is kept.

Every rule of the accountant is plain Python that numba compiles; with `NUMBA_DISABLE_JIT=1` the same text runs
uncompiled and gives the same bits, which is how it is debugged and how it is proved. Two decorators: `kernel` for
functions that only other kernels call, `entry` for the few that Python calls. A kernel has no machine code of its own:
it is a part of every entry that leads to it, and an entry is linked, optimised and emitted once (`linking.py`).

numba's own cache looks only at the file of the function it compiles, so an edited margin rule in another file would go
on returning yesterday's requirement; ours lives in a directory named by a hash of every source file of the package,
numba's version and the mode. It does not ask where the package lies: another checkout, another environment of the
same version finds it compiled.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).resolve().parent
WRAPPED = os.environ.get("BACKTEST_WRAPPED", "0") == "1"  # tests of single rules call inner kernels from Python
RUNTIME = os.environ.get("BACKTEST_NUMBA_RUNTIME", "0") == "1"  # numba's reference counting, which no kernel needs


def kernel_sources(package: Path = PACKAGE) -> list[Path]:
    """Every file that holds or shapes compiled code."""
    roots = [package / name for name in ("kernel.py", "linking.py", "bundle.py", "units.py", "span.py", "state.py")]
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
    """Directory under which compiled code is kept: where home cannot be written, one of this user's among temporary
    files, which no other user can have put code into.
    """
    wished = os.environ.get("BACKTEST_CACHE")
    home = Path(wished) if wished else Path.home() / ".cache" / "collateral-backtest"
    try:
        home.mkdir(parents=True, exist_ok=True)
        return home
    except OSError:
        return own_folder(Path(tempfile.gettempdir()) / f"collateral-backtest-{getpass.getuser()}")


def own_folder(path: Path) -> Path:
    """A folder that only this user can write to: this one, or a fresh one where somebody else has it."""
    with suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        if not hasattr(os, "getuid") or (path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077 == 0):
            return path
    return Path(tempfile.mkdtemp(prefix="collateral-backtest-"))


def forget_old(home: Path, digest: str) -> None:
    """Throw away code that was compiled from other sources, and that nobody has asked for in a month."""
    with suppress(OSError):
        (home / digest).mkdir(exist_ok=True)
        os.utime(home / digest)
        for each in home.iterdir():
            if re.fullmatch("[0-9a-f]{20}", each.name) and only_code(each) and _idle(each) > KEPT_SECONDS:
                shutil.rmtree(each, ignore_errors=True)


def only_code(folder: Path) -> bool:
    """Whether a folder holds compiled code and nothing else that anybody could have put there."""
    return all(each.is_dir() or each.suffix in (".nbi", ".nbc") for each in folder.rglob("*"))


def _idle(folder: Path) -> float:
    """Seconds since anybody asked for what is in a folder."""
    return time.time() - folder.stat().st_mtime


KEPT_SECONDS = 30 * 86_400
DIGEST = source_digest()
CACHE = cache_home() / DIGEST
forget_old(CACHE.parent, DIGEST)


def options() -> dict[str, Any]:
    """Compile options: no fast-math (it would break equality to the bit), C's division, no reference counting."""
    chosen: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
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
UNWRAPPED = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

try:
    from backtest.linking import KernelCache, Loop, Part, Whole, compiler_of
except (ImportError, AttributeError):  # numba's inner parts have moved
    LINKED = False
else:
    LINKED = not WRAPPED and not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


if LINKED:
    CACHED = KernelCache.in_folder(CACHE, DIGEST, needs_runtime="_nrt" not in OPTIONS)
    PART, LOOP, WHOLE = compiler_of(Part), compiler_of(Loop), compiler_of(Whole)
else:
    os.environ["NUMBA_CACHE_DIR"] = str(CACHE)
    numba.config.CACHE_DIR = str(CACHE)


def kept(compiled: Any) -> Any:
    """Keep what is compiled for the next process, wherever the package lies."""
    compiled._cache = CACHED(compiled.py_func)
    return compiled


def kernel(function: Function) -> Function:
    """Compile a function that only kernels call. A leaf, the loop itself, is optimised on its own as well."""
    if LINKED:
        library = LOOP if function.__module__.endswith("leaves") else PART
        return njit(**OPTIONS, **UNWRAPPED, pipeline_class=library)(function)  # type: ignore[no-any-return]
    return njit(**OPTIONS, **({} if WRAPPED else UNWRAPPED), cache=True)(function)  # type: ignore[no-any-return]


def entry(function: Function) -> Function:
    """Compile a function that Python calls."""
    if LINKED:
        return kept(njit(**OPTIONS, pipeline_class=WHOLE)(function))  # type: ignore[no-any-return]
    return njit(**OPTIONS, cache=True)(function)  # type: ignore[no-any-return]


class Direct:
    """An entry whose arguments are always of the same types, called without asking for them.

    numba looks up the type of each bundle at each call, which takes longer than a bar does. The first call is numba's
    own; it compiles, or finds what was compiled.
    """

    def __init__(self, compiled: Any, outermost: bool = False) -> None:
        """`outermost`: nothing is ever linked with it, so the compiler's text of it can go once its code is there."""
        self._compiled, self._code, self._outermost = compiled, cast(Any, None), outermost

    def __call__(self, *given: Any) -> Any:
        if self._code is not None:
            return self._code(*given)
        answer = self._compiled(*given)
        if len(self._compiled.overloads) == 1:
            found = next(iter(self._compiled.overloads.values()))
            self._code = found.entry_point
            if self._outermost and hasattr(found.library, "_shared_module"):
                found.library._shared_module = None  # some 17 MB of the engine
                found.library.text = b""
        return answer


def direct(compiled: Function, outermost: bool = False) -> Function:
    """How Python calls an entry many times over; itself where nothing is compiled."""
    return compiled if numba.config.DISABLE_JIT else Direct(compiled, outermost)  # type: ignore[attr-defined,return-value]


def plain(compiled: Function) -> Function:
    """A kernel as it is written: how Python asks a single rule that calls no other."""
    return getattr(compiled, "py_func", compiled)
