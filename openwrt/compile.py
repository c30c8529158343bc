#!/usr/bin/env python3
"""Make the small module of the package, or find a place of its log in the source.

    python3 compile.py SOURCE DIRECTORY    writes DIRECTORY/pydnsmasq.pyc, for the Python
                                           that runs this, and DIRECTORY/version
    python3 compile.py SOURCE 1234+56      tells which line of SOURCE that place is

A router has little flash and little memory, so the module goes without what only
readers and debuggers need.  Against a plain compilation half of its size is saved:

  docstrings, asserts      as `python -OO` does
  annotations              nothing reads them; the fields of a class keep their names,
                           which make a `record`, and lose their types
  columns and lines        the largest part.  A place in the log is then the line at which
                           the function begins and an offset into its code, 1234+56, from
                           which this program finds the line again: same source, same
                           version of Python
  constants                a name that the module gives a number or a text once, and never
                           another, is replaced by its value, and its assignment goes
  names                    of local variables, of parameters that no call names, and of the
                           module's functions and tables they are short; functions do not
                           know theirs

What this needs of the source is checked: nothing may look at variables by name.
The version is the text that `--version` prints, for the launcher to answer with.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import importlib.util
import itertools
import marshal
import os
import re
import string
import sys
import types
from collections.abc import Iterator
from typing import Any

CO_OPTIMIZED, CO_VARARGS, CO_VARKEYWORDS = 1, 4, 8
BY_NAME = {"dir", "eval", "exec", "globals", "locals", "vars"}


class Annotations(ast.NodeTransformer):
    """Take the annotations away; of fields of a class only the types."""

    _in_class = False

    def _enter(self, node: ast.AST, in_class: bool) -> ast.AST:
        outside, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = outside
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._enter(node, True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._enter(node, False)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        # It says how annotations are meant.
        return None if node.module == "__future__" else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if self._in_class:
            node.annotation = ast.Constant(0)
            return node
        if node.value is None:
            return ast.Pass()
        return ast.Assign([node.target], node.value)


class Globals(ast.NodeTransformer):
    """Put the values of the module's constants where their names are; give functions and tables short names."""

    def __init__(self, tree: ast.Module) -> None:
        self._values: dict[str, Any] = {}
        self._short: dict[str, str] = {}
        written = collections.Counter(name for node in ast.walk(tree) for name in names_written(node))
        # What a text names, as __all__ does, can still be asked for.
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} | {"version_text"}
        short = (f"_{name}" for name in short_names() if f"_{name}" not in written)
        for statement in list(tree.body):
            values = dict(assignments(statement))
            once = [name for name in [*values, getattr(statement, "name", "")] if written[name] == 1]
            for name in once:
                if name in values:
                    self._keep(name, compile(ast.Expression(values[name]), name, "eval"))
                if name not in self._values and name not in texts and not isinstance(statement, ast.ClassDef):
                    self._short[name] = next(short)
            if values and values.keys() <= self._values.keys() - texts:
                tree.body.remove(statement)

    def _keep(self, name: str, expression: types.CodeType) -> None:
        with contextlib.suppress(Exception):  # not made of constants alone
            value = eval(expression, {"__builtins__": {}, **self._values})
            if isinstance(value, (bool, int, float, str, bytes)):
                self._values[name] = value

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self._values:
            return ast.Constant(self._values[node.id])
        node.id = self._short.get(node.id, node.id)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._short.get(node.name, node.name)
        return self.generic_visit(node)


def names_written(node: ast.AST) -> Iterator[str]:
    """Give the names in a node, unless it is a variable that is read, or a text."""
    if not isinstance(node, ast.Constant) and not isinstance(getattr(node, "ctx", None), ast.Load):
        for _, value in ast.iter_fields(node):
            yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


def assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Give the names and values of `A = x` and of `A, B = x, y`."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
        if all(isinstance(name, ast.Name) for name, _ in pairs):
            yield from ((name.id, one) for name, one in pairs if isinstance(name, ast.Name))


def short_names() -> Iterator[str]:
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))


def slim(code: types.CodeType, spoken: set[str]) -> types.CodeType:
    """Leave out of compiled code what nothing reads; `spoken` are the names that calls give."""
    inner = tuple(slim(item, spoken) if isinstance(item, types.CodeType) else item for item in code.co_consts)
    changes: dict[str, Any] = {"co_consts": inner, "co_linetable": b""}
    if not code.co_name.startswith("__"):  # such names are looked at
        changes["co_name"] = ""
    if sys.version_info >= (3, 11):
        changes["co_qualname"] = changes.get("co_name", code.co_name)
    if code.co_flags & CO_OPTIMIZED:
        by_place = code.co_argcount
        by_name = code.co_varnames[by_place : by_place + code.co_kwonlyargcount]
        kept = {*code.co_cellvars, *code.co_freevars, *by_name, *spoken.intersection(code.co_varnames)}
        short = (name for name in short_names() if name not in kept)
        changes["co_varnames"] = tuple(name if name in kept else next(short) for name in code.co_varnames)
    return code.replace(**changes)


def build(source: str) -> tuple[ast.Module, types.CodeType]:
    """Compile, lines and all; gives the tree that was compiled too."""
    tree = ast.parse(source)
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in BY_NAME:
            raise SystemExit(f"line {node.lineno}: {node.id} may look at variables whose names are shortened")
        if (
            isinstance(node, ast.Call)
            and any(word.arg is None for word in node.keywords)
            and getattr(node.func, "id", "") not in classes
        ):
            raise SystemExit(f"line {node.lineno}: ** may name parameters whose names are shortened")
    tree = Annotations().visit(tree)
    tree = ast.fix_missing_locations(Globals(tree).visit(tree))
    return tree, compile(tree, "pydnsmasq.py", "exec", dont_inherit=True, optimize=2)


def version_text(tree: ast.Module) -> str:
    """Run the one function that makes the text: it needs nothing but constants."""
    function: list[ast.stmt] = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "version_text"
    ]
    scope: dict[str, Any] = {}
    exec(compile(ast.Module(function, []), "version", "exec"), scope)
    return str(scope["version_text"]())


def find_place(code: types.CodeType, first: int, offset: int) -> Iterator[str]:
    """Tell the line at `offset` in each piece of code that begins at line `first`."""
    if code.co_firstlineno == first:
        yield from (f"line {line}" for start, end, line in code.co_lines() if start <= offset < end)
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield from find_place(item, first, offset)


def main() -> None:
    """Do what the command line says."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        tree, code = build(file.read())
    place = re.fullmatch(r"(\d+)\+(\d+)", sys.argv[2])
    if place:
        print("\n".join(find_place(code, int(place[1]), int(place[2]))) or "no such place")
        return
    spoken = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    data = importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(slim(code, {name for name in spoken if name}))
    with open(os.path.join(sys.argv[2], "pydnsmasq.pyc"), "wb") as module:
        module.write(data)
    with open(os.path.join(sys.argv[2], "version"), "w", encoding="utf-8") as version:
        version.write(version_text(tree))


if __name__ == "__main__":
    main()
