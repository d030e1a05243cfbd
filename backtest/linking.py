"""What numba is made to do otherwise: an entry is linked, optimised and emitted once, with everything it calls, and
kept where its sources name it.

numba links, optimises and emits each function together with all that it calls, once for every level of calls; what is
emitted for the inner levels is never run. All of this rests on inner parts of numba, which may move in any release:
where one is gone, `kernel.py` leaves numba as it is, which is slower and not wrong.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llvmlite.binding import parse_assembly, parse_bitcode
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.np import linalg


class Part(JITCodeLibrary):
    """A kernel: kept as the compiler's own text, to be linked into entries, never turned into machine code."""

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


def leave_blas_alone() -> None:
    """Let numba learn its array functions without asking scipy for a BLAS, which takes a fifth of a second of every
    process and which no kernel uses. Whoever compiles linear algebra of his own is asked for it then.
    """
    asked, linalg.ensure_blas = linalg.ensure_blas, lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = asked


if find_spec("scipy") is not None:
    leave_blas_alone()


def link_all(library: Any) -> None:
    """Link all that is called, directly or not, each once."""
    waiting, linked = [*library._linking_libraries][::-1], set()
    library._linking_libraries = type(library._linking_libraries)()
    while waiting:
        part = waiting.pop()
        if part not in linked:
            linked.add(part)
            if hasattr(library, "_reload_init"):  # not in every numba
                library._reload_init.update(part._reload_init)
            library._final_module.link_in(part._get_module_for_linking(), preserve=True)
            waiting.extend([*part._linking_libraries][::-1])


def compiler_of(library: type[JITCodeLibrary]) -> type[Compiler]:
    """numba's compiler, writing into a library of the given kind."""

    class KernelCompiler(Compiler):
        def _compile_core(self) -> Any:
            self.state.library = library(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
            self.state.library.enable_object_caching()
            return super()._compile_core()

    return KernelCompiler


class Kept(JITCodeLibrary):
    """An entry that was compiled before: its machine code, and its text, which is read only where another entry is to
    be linked with it. That of the engine takes longer to read than a year of hours to live through.
    """

    text: bytes

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            self._shared_module = parse_bitcode(self.text)
            self._codegen._engine._load_defined_symbols(self._shared_module)
        return self._shared_module

    @classmethod
    def rebuilt(cls, rebuild: Callable[[Any], Any], engine: Any, payload: Any) -> Any:
        """A compile result from the cache. `rebuild` is numba's own way, which reads the text, if only to learn which
        names the machine code has.
        """
        (name, kind, data), described, *rest = payload
        if kind != "object":
            return rebuild(payload)
        code, text = data
        engine._defined_symbols |= {described.llvm_func_name, described.llvm_cpython_wrapper_name}
        result = rebuild(((name, kind, (code, NO_TEXT)), described, *rest))
        result.library.__class__, result.library.text, result.library._shared_module = cls, text, None
        return result


NO_TEXT = parse_assembly("").as_bitcode()


class KernelCache(FunctionCache):
    """numba's cache of a function, in a place of our own."""

    needs_runtime = False  # whether what is kept counts references

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was compiled before. numba would first learn all that it can compile, a fifth of a second long: machine
        code needs none of that, and whoever has to compile asks for it himself.

        None as well where a file is cut off or is not what was written: it is compiled anew, and kept in its place.
        """
        load = super().load_overload if self.needs_runtime else self._load_overload
        try:
            with self._guard_against_spurious_io_errors():
                return load(sig, target_context)
        except Exception:
            with suppress(OSError):
                Path(self._cache_file._index_path).unlink()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled; where the folder takes no more files, the next process compiles it again."""
        with suppress(OSError):
            super().save_overload(sig, data)

    @classmethod
    def in_folder(cls, folder: Path, digest: str, needs_runtime: bool) -> type[KernelCache]:
        """The cache under `folder`, whose sources are told by `digest` and not by where or how old a file is."""

        class Place(_CacheLocator):
            def __init__(self, function: Callable[..., Any]) -> None:
                self.module = function.__module__

            def get_cache_path(self) -> str:
                return str(folder / self.module)

            def get_source_stamp(self) -> str:
                return digest

            def get_disambiguator(self) -> str:
                return "kernel"

            @classmethod
            def from_function(cls, function: Callable[..., Any], file: str) -> Place:
                return cls(function)

        class Result(CompileResultCacheImpl):
            _locator_classes = [Place]

            def rebuild(self, target_context: Any, payload: Any) -> Any:
                engine = getattr(target_context.codegen(), "_engine", None)
                if not hasattr(engine, "_defined_symbols"):
                    return super().rebuild(target_context, payload)
                return Kept.rebuilt(partial(super().rebuild, target_context), engine, payload)

        return type("KernelCache", (cls,), {"_impl_class": Result, "needs_runtime": needs_runtime})
