"""Vectors of LANES float32 values, which numba has no name for, in compiled kernels.

Each function stands for a few instructions of LLVM. Memory is what `pointer` gives, an index counts its values.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

# A line of the cache, 64 bytes on nearly all processors.
LANES = 16
_LINE = 4 * LANES

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_MEMORY = types.CPointer(types.float32)


class _Vector(types.Type):
    """Numba type of LANES float32 values."""

    def __init__(self) -> None:
        super().__init__(name=f"float32 x {LANES}")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _VECTOR)


_vector = _Vector()


@intrinsic
def pointer(_, array, start):
    """Where the values of a contiguous array lie, from the flat index `start` on.

    Passing such pointers on costs no counting of references; the array has to outlive them.
    """

    def generate(context, builder, signature, arguments):
        values = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(values, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.intp), generate


def _at(builder, memory, index, kind):
    return builder.bitcast(builder.gep(memory, [index]), kind.as_pointer())


@intrinsic
def load(_, memory, index):
    """The vector memory[index : index + LANES]."""

    def generate(context, builder, signature, arguments):
        vector = builder.load(_at(builder, *arguments, _VECTOR))
        vector.align = 4
        return vector

    return _vector(_MEMORY, types.intp), generate


@intrinsic
def store(_, memory, index, vector):
    """memory[index : index + LANES] = vector."""

    def generate(context, builder, signature, arguments):
        memory, index, vector = arguments
        builder.store(vector, _at(builder, memory, index, _VECTOR)).align = 4
        return context.get_dummy_value()

    return types.void(_MEMORY, types.intp, _vector), generate


@intrinsic
def plus_zero(_, vector):
    """The same values, but that negative zeros are zeros."""

    def generate(context, builder, signature, arguments):
        return builder.fadd(arguments[0], ir.Constant(_VECTOR, [0.0] * LANES))

    return _vector(_vector), generate


@intrinsic
def maximum(_, first, second):
    """The larger ones of two vectors' values."""

    def generate(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return _vector(_vector, _vector), generate


def _shuffled(builder, one, other, picks):
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT, len(picks)), picks))


def _turned(builder, rows):
    """Four vectors a, b, c, d -> four: the k-th holds a[q], b[q], c[q], d[q] of q = k, 4 + k, 8 + k ..."""
    # In quarters of 4 values, as processors do it: a0 b0 a1 b1 | ..., then a0 b0 c0 d0 | ...
    quarters = range(0, LANES, 4)
    turned = []
    for k in (0, 2):
        pairs = [q + k + step + side for q in quarters for step in (0, 1) for side in (0, LANES)]
        ab, cd = _shuffled(builder, *rows[:2], pairs), _shuffled(builder, *rows[2:], pairs)
        for half in (0, 2):
            picks = [q + half + s + side for q in quarters for side in (0, LANES) for s in (0, 1)]
            turned.append(_shuffled(builder, ab, cd, picks))
    return turned


@intrinsic
def store_turned(_, memory, index, pitch, rows):
    """memory[index + k pitch : index + k pitch + n] = rows[0][k], .. rows[n - 1][k] for every k of the LANES.

    rows: a tuple of n = 4 or 8 vectors.
    """
    count = len(rows)

    def generate(context, builder, signature, arguments):
        memory, index, pitch, vectors = arguments
        given = [builder.extract_value(vectors, k) for k in range(count)]
        parts = [_turned(builder, given[start : start + 4]) for start in range(0, count, 4)]
        for q in range(0, LANES, 4):
            picks = [side + q + k for side in range(0, LANES * len(parts), LANES) for k in range(4)]
            for k, halves in enumerate(zip(*parts, strict=True)):
                offset = builder.mul(pitch, ir.Constant(pitch.type, q + k))
                place = _at(builder, memory, builder.add(index, offset), ir.VectorType(_FLOAT, count))
                builder.store(_shuffled(builder, halves[0], halves[-1], picks), place).align = 4
        return context.get_dummy_value()

    return types.void(_MEMORY, types.intp, types.intp, rows), generate


@intrinsic
def as_float(_, bits):
    """The float32 of these 32 bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], _FLOAT)

    return types.float32(types.uint32), generate


@intrinsic
def stream(_, memory, index, vector):
    """As `store`, past the caches; the place has to begin a line."""

    def generate(context, builder, signature, arguments):
        memory, index, vector = arguments
        store = builder.store(vector, _at(builder, memory, index, _VECTOR))
        store.align = _LINE
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_INT, 1)]))
        return context.get_dummy_value()

    return types.void(_MEMORY, types.intp, _vector), generate


@intrinsic
def finish_streams(_):
    """Other threads see what was streamed before when they see what is written after."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate
