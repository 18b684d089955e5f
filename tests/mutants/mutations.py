"""The small changes that can be made to a module: each as the text of a node and what stands in its place."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_SWAPPED = {
    "boundary": {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    "opposite": {
        ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
        ast.In: ast.NotIn, ast.NotIn: ast.In,
    },
    "operator": {
        ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
        ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
    },
}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
# What these are called with is text for people, or makes no difference to a result.
_TALK = {"say", "print", "warn", "add_argument", "add_function_options", "TypeVar", "cast", "lazy_names", "field"}
# Calls without which the value is the same, or as good.
_CASTS = {"str", "int", "float", "bool", "list", "tuple", "set", "dict", "Path", "iter", "asarray", "super"}
_TALKING_KEYWORDS = {"help", "description", "title", "console"}


@dataclass(frozen=True)
class Mutation:
    """One change of one module.

    kind: what was done. start, end: of the replaced text, bytes. line: where that begins, from 1. text: the new one.
    """

    kind: str
    start: int
    end: int
    line: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """The module with the change."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutations(source: bytes) -> list[Mutation]:
    """All changes that can be made to a module, none of them to docstrings, types, messages or version numbers.

    What is left compiles to something else than before. It can still be equal in effect: nobody can tell that here.
    """
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(line: int, column: int) -> int:
        return starts[line - 1] + column

    made = {}
    for kind, node, text in _changes(ast.parse(source)):
        start, end = place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)
        made.setdefault((start, end, text), Mutation(kind, start, end, node.lineno, text))
    return list(made.values())


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """(kind, node, text in its place) of a node and all below it."""
    if _is_talk(node):
        if isinstance(node, ast.Raise):
            yield "statement removed", node, "pass"
        return
    yield from _of(node)
    for child in _children(node):
        yield from _changes(child)


def _is_talk(node: ast.AST) -> bool:
    """Whether nothing below a node is to be changed."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Call) and _name(node.func) in _TALK:
        return True
    if isinstance(node, ast.keyword) and node.arg in _TALKING_KEYWORDS:
        return True
    if isinstance(node, ast.If) and any(word in ast.unparse(node.test) for word in ("TYPE_CHECKING", "__name__")):
        return True
    targets = getattr(node, "targets", [getattr(node, "target", None)]) if isinstance(node, ast.Assign) else []
    names = [_name(one) for one in targets]
    return any(one.endswith("VERSION") or one == "__all__" for one in names) or (
        # An alias of types, such as ``Main = Callable[..., int]``.
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Subscript | ast.BinOp)
        and all(one[:1].isupper() and not one.isupper() for one in names)
    )


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What of a node can be changed: no annotation, no decorator, no base."""
    skipped = {"annotation", "returns", "decorator_list", "bases", "format_spec"}
    if isinstance(node, ast.AnnAssign | ast.Assign | ast.AugAssign | ast.For | ast.comprehension):
        skipped |= {"target", "targets"}
    for name, value in ast.iter_fields(node):
        if name not in skipped:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield child


def _of(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """The changes of a node itself."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for kind, other in _other(operator):
                    yield kind, node, _text(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
        case ast.BinOp() if not any(map(_is_sequence, (node.left, node.right))):
            yield from ((kind, node, _text(node, op=other())) for kind, other in _other(node.op))
        case ast.BoolOp():
            yield from ((kind, node, _text(node, op=other())) for kind, other in _other(node.op))
            yield "condition dropped", node, _text(node, values=node.values[:-1])
        case ast.AugAssign():
            yield from ((kind, node, ast.unparse(_copy(node, op=other()))) for kind, other in _other(node.op))
            yield "statement removed", node, "pass"
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield "sign dropped", node, f"({ast.unparse(node.operand)})"
        case ast.Constant():
            yield from (("constant", node, text) for text in _constants(node.value))
        case ast.If() | ast.IfExp() | ast.While():
            yield "negated", node.test, f"(not ({ast.unparse(node.test)}))"
        case ast.Return() if node.value is not None and not _is_none(node.value):
            yield "return changed", node, "return None"
        case ast.Break():
            yield "break to continue", node, "continue"
        case ast.Continue():
            yield "continue to break", node, "break"
        case ast.Expr(value=ast.Call()):
            yield "statement removed", node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "statement removed", node, "pass"
        case ast.Call():
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST, str]]:
    name, plain = _name(node.func), [one for one in node.args if not isinstance(one, ast.Starred)]
    if len(plain) == len(node.args) >= 2 and ast.dump(node.args[0]) != ast.dump(node.args[1]):
        yield "arguments swapped", node, _text(node, args=[node.args[1], node.args[0], *node.args[2:]])
    if len(plain) == len(node.args) == 1 and not node.keywords and name[:1].islower() and name not in _CASTS:
        yield "call dropped", node, f"({ast.unparse(node.args[0])})"
    for one in node.keywords:
        if one.arg not in (None, *_TALKING_KEYWORDS):
            yield "keyword dropped", node, _text(node, keywords=[other for other in node.keywords if other is not one])
    if isinstance(node.func, ast.Name) and name in _NAMES:
        yield "other function", node.func, _NAMES[name]


def _constants(value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield from (str(value + 1), f"({value - 1})")
    elif isinstance(value, float):
        yield repr(value * 1.5 or 1.0)
    elif isinstance(value, str) and value.isidentifier():
        # A word: a key, a file's name, a choice. Sentences are for people.
        yield repr(value + "_")


def _other(operator: ast.AST) -> Iterator[tuple[str, type[ast.AST]]]:
    for kind, table in _SWAPPED.items():
        if type(operator) in table:
            yield kind, table[type(operator)]


def _copy(node: ast.AST, **fields: object) -> ast.AST:
    return type(node)(**dict(ast.iter_fields(node)) | fields)


def _text(node: ast.AST, **fields: object) -> str:
    return f"({ast.unparse(_copy(node, **fields))})"


def _name(node: ast.AST | None) -> str:
    """The last part of a name: ``c`` of ``a.b.c``."""
    return getattr(node, "attr", getattr(node, "id", "")) if node is not None else ""


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_sequence(node: ast.AST) -> bool:
    return isinstance(node, ast.List | ast.Tuple | ast.JoinedStr | ast.ListComp) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
