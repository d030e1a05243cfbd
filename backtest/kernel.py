"""How the arithmetic is compiled, and where the compiled code is kept.

Every rule of the accountant is plain Python that numba compiles; with `NUMBA_DISABLE_JIT=1` the same text runs
uncompiled and gives the same bits, which is how it is debugged and how it is proved. Two decorators: `kernel` for
functions that only other kernels call, `entry` for the few that Python calls. A kernel has no machine code of its own:
it is a part of every entry that leads to it, and an entry is linked, optimised and emitted once.

numba's own cache looks only at the file of the function it compiles, so an edited margin rule in another file would go
on returning yesterday's requirement; ours lives in a directory named by a hash of every source file of the package,
numba's version and the mode. It does not ask where the package lies: another checkout, another environment of the
same version finds it compiled.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

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


DIGEST = source_digest()
CACHE = cache_home() / DIGEST


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


class Part(JITCodeLibrary):
    """A kernel: kept as the compiler's own text, to be linked into entries, never turned into machine code.

    numba links, optimises and emits each function together with all that it calls, once for every level of calls;
    what is emitted for the inner levels is never run.
    """

    def finalize(self) -> None:
        self._final_module.verify()
        self._finalized = True

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout  # optimised in the entry

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # Python does not call it

    @property
    def codegen(self) -> Any:
        return NO_MACHINE_CODE


class Loop(Part):
    """A leaf: its loop is optimised on its own, before the size of a caller could keep it from being vectorised."""

    def finalize(self) -> None:
        link_all(self)
        self._optimize_final_module()
        super().finalize()


class Whole(JITCodeLibrary):
    """An entry and everything below it."""

    def finalize(self) -> None:
        link_all(self)
        super().finalize()


class NoMachineCode:
    """Where numba would tell a function's machine code of its constants: there is none to tell."""

    def set_env(self, name: str, environment: Any) -> None:
        pass


NO_MACHINE_CODE = NoMachineCode()


def link_all(library: Any) -> None:
    """Link all that is called, directly or not, each once."""
    waiting, linked = library._linking_libraries[::-1], set()
    library._linking_libraries = []
    while waiting:
        part = waiting.pop()
        if part not in linked:
            linked.add(part)
            library._reload_init.update(part._reload_init)
            library._final_module.link_in(part._get_module_for_linking(), preserve=True)
            waiting.extend(part._linking_libraries[::-1])


def compiler_of(library: type[JITCodeLibrary]) -> type[Compiler]:
    """numba's compiler, writing into a library of the given kind."""

    class KernelCompiler(Compiler):
        def _compile_core(self) -> Any:
            self.state.library = library(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
            self.state.library.enable_object_caching()
            return super()._compile_core()

    return KernelCompiler


PART, LOOP, WHOLE = compiler_of(Part), compiler_of(Loop), compiler_of(Whole)


class Place(_CacheLocator):
    """Where the compiled code of one function is kept: its module in our directory, whose name tells the sources."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.module = function.__module__

    def get_cache_path(self) -> str:
        return str(CACHE / self.module)

    def get_source_stamp(self) -> str:
        return DIGEST

    def get_disambiguator(self) -> str:
        return "kernel"

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Place:
        return cls(function)


class KeptResult(CompileResultCacheImpl):
    _locator_classes = [Place]


class Kept(FunctionCache):
    """numba's cache of a function, in our place."""

    _impl_class = KeptResult


def keep(compiled: Any) -> Any:
    """Keep what is compiled for the next process."""
    if not numba.config.DISABLE_JIT:
        compiled._cache = Kept(compiled.py_func)
    return compiled


def kernel(function: Function) -> Function:
    """Compile a function that only kernels call."""
    if WRAPPED:
        return keep(njit(**OPTIONS)(function))  # type: ignore[no-any-return]
    library = LOOP if function.__module__.endswith("leaves") else PART
    return njit(**OPTIONS, **UNWRAPPED, pipeline_class=library)(function)  # type: ignore[no-any-return]


def entry(function: Function) -> Function:
    """Compile a function that Python calls."""
    return keep(njit(**OPTIONS, pipeline_class=WHOLE)(function))  # type: ignore[no-any-return]


class Direct:
    """An entry whose arguments are always of the same types, called without asking for them.

    numba looks up the type of each bundle at each call, which takes longer than a bar does. The first call is numba's
    own; it compiles, or finds what was compiled.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled, self._code = compiled, cast(Any, None)

    def __call__(self, *given: Any) -> Any:
        if self._code is not None:
            return self._code(*given)
        answer = self._compiled(*given)
        if len(self._compiled.overloads) == 1:
            self._code = next(iter(self._compiled.overloads.values())).entry_point
        return answer


def direct(compiled: Function) -> Function:
    """How Python calls an entry many times over; itself where nothing is compiled."""
    return compiled if numba.config.DISABLE_JIT else Direct(compiled)  # type: ignore[attr-defined,return-value]
