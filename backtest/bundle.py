"""A bundle: many arrays under one name, handed to compiled code as one pointer.

The engine's functions take Book, Rules and Tape, some eighty arrays in all. Passed as tuples they would cross every
call as six hundred values, and compiling takes minutes; passed as the address of a small table of array headers
they cost nothing. In plain Python a bundle is an ordinary object with attributes, so the same text runs with the
JIT off.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Self

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np import numpy_support
from numba.np.arrayobj import make_array, populate_array

WORD = 8


class Bundle:
    """Base of Book, Rules and Tape: one C-contiguous array per annotation, all of them given, none replaced."""

    def __init__(self, **arrays: np.ndarray) -> None:
        fields = list(type(self).__annotations__)
        assert sorted(fields) == sorted(arrays), sorted(set(fields) ^ set(arrays))
        for name in fields:
            array = arrays[name]
            assert array.flags.c_contiguous and array.dtype.isnative, name
            setattr(self, name, array)
        self._header = np.array([word for name in fields for word in _header(arrays[name])], np.int64)
        self._address = self._header.ctypes.data
        shapes = tuple((name, arrays[name].dtype, arrays[name].ndim) for name in fields)
        self._kind = _kind_of(type(self).__name__, shapes)

    def _replace(self, **arrays: np.ndarray) -> Self:
        """The same bundle with some arrays exchanged."""
        return type(self)(**{name: arrays.get(name, getattr(self, name)) for name in type(self).__annotations__})


def _header(array: np.ndarray) -> list[int]:
    """Address, shape and strides: what compiled code needs to know of an array."""
    return [array.ctypes.data, *array.shape, *array.strides]


@cache
def _kind_of(name: str, shapes: tuple[tuple[str, np.dtype[Any], int], ...]) -> BundleType:
    """The compiled type of a bundle; every run's is the same."""
    fields = [(field, types.Array(numpy_support.from_dtype(dtype), ndim, "C")) for field, dtype, ndim in shapes]
    return BundleType(name, tuple(fields))


class BundleType(types.Type):
    """The compiled type of a bundle: the names and types of its arrays."""

    def __init__(self, name: str, fields: tuple[tuple[str, types.Array], ...]) -> None:
        self.fields = fields
        super().__init__(name=f"{name}({', '.join(f'{field}: {kind}' for field, kind in fields)})")

    def place(self, name: str) -> tuple[int, types.Array]:
        """First word of a field's header, and its type."""
        word = 0
        for field, kind in self.fields:
            if field == name:
                return word, kind
            word += 1 + 2 * kind.ndim
        raise AttributeError(name)


register_model(BundleType)(models.OpaqueModel)


@typeof_impl.register(Bundle)
def _typeof_bundle(bundle: Bundle, context: Any) -> BundleType:
    return bundle._kind


@unbox(BundleType)
def _unbox_bundle(kind: BundleType, obj: Any, c: Any) -> NativeValue:
    """The address of the header table; the Python object keeps it, and the arrays, alive during the call."""
    attribute = c.pyapi.object_getattr_string(obj, "_address")
    address = c.pyapi.long_as_longlong(attribute)
    c.pyapi.decref(attribute)
    return NativeValue(c.builder.inttoptr(address, cgutils.voidptr_t))


@infer_getattr
class _BundleAttribute(AttributeTemplate):
    key = BundleType

    def generic_resolve(self, kind: BundleType, attribute: str) -> types.Array | None:
        return dict(kind.fields).get(attribute)


@lower_getattr_generic(BundleType)
def _load_array(context: Any, builder: Any, kind: BundleType, value: Any, attribute: str) -> Any:
    """Rebuild one array from its header. The loads never change during a call, and are marked so."""
    word, array_type = kind.place(attribute)
    table = builder.bitcast(value, ir.IntType(64).as_pointer())
    never_changes = builder.module.add_metadata([])

    def load(k: int) -> Any:
        loaded = builder.load(cgutils.gep_inbounds(builder, table, word + k))
        loaded.set_metadata("invariant.load", never_changes)
        return loaded

    array = make_array(array_type)(context, builder)
    data = builder.inttoptr(load(0), array.data.type)
    shape = [load(1 + k) for k in range(array_type.ndim)]
    strides = [load(1 + array_type.ndim + k) for k in range(array_type.ndim)]
    itemsize = context.get_constant(types.intp, array_type.dtype.bitwidth // WORD)
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
    return array._getvalue()
