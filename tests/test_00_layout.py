"""The laws of the source, from its text and syntax tree alone.

Each law is a function from the text to a list of complaints.  The tests at the
end plant one fault for each law in a small sample and see it found.
"""

from __future__ import annotations

import ast
import builtins
import pathlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from harness import PROGRAM

TESTS = pathlib.Path(__file__).resolve().parent
RULE = "# " + "=" * 78
TITLE = re.compile(r"^# ([1-7][0-9]) (\S.*)$")
USES = re.compile(r"^# Uses(?: nothing|((?: [0-9][0-9])+))$")
CONTENTS = re.compile(r"^ {2}([1-7][0-9]) {2}(\S.*)$")
FILE_LINES = 19_500  # DNS and DHCPv4 13,400; TFTP 1,000; DNSSEC 2,600; sets, marks and ubus of the router 1,000
SECTION_LINES, SECTION_LINES_MOST = 500, 900
LONG_SECTIONS = {31}  # the option table
LIGHT = {line.strip() for line in (TESTS / "data" / "python3-light-modules.txt").read_text().splitlines()}
# Allowed by the platform, too slow to load before the first answer.
SLOW = {"typing", "dataclasses", "argparse", "inspect", "subprocess", "tempfile", "secrets", "traceback", "json"}
OS_MODULES = {
    "os", "sys", "time", "socket", "select", "selectors", "signal", "threading", "_thread", "fcntl", "resource",
    "syslog", "socketserver", "random", "secrets", "subprocess", "pwd", "grp", "mmap", "glob", "shutil", "tempfile",
    "io", "atexit", "gc", "queue", "platform", "posix", "termios", "pty", "multiprocessing",
}  # fmt: skip
PURE_PARTS = {
    "socket": {"inet_pton", "inet_ntop", "AF_INET", "AF_INET6"},
    "sys": {"intern", "maxsize", "byteorder", "version_info", "hash_info"},
}
LOCKS = {"Lock", "RLock"}
WORLD_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}
CLOCK_METHODS = {"now", "utcnow", "today"}
# Methods whose meaning the standard library has fixed already.
KNOWN_METHODS = {
    "run", "start", "stop", "close", "write", "read", "flush", "fileno", "handle", "setup", "finish", "get", "keys",
    "items", "values", "pop", "clear", "copy", "update", "append", "acquire", "release", "serve_forever", "shutdown",
}  # fmt: skip


# -- reading the source --------------------------------------------------------


@dataclass
class Section:
    """A banner and what follows it, line numbers from 1."""

    number: int
    title: str
    first: int
    body: int
    last: int = 0
    uses: list[int] | None = None


def find_sections(text: str) -> list[Section]:
    """Find the banners: two rules with a title and remarks between them."""
    lines = text.splitlines()
    found: list[Section] = []
    index = 0
    while index < len(lines) - 1:
        match = TITLE.match(lines[index + 1]) if lines[index] == RULE else None
        if match is None:
            index += 1
            continue
        end = index + 2
        while end < len(lines) and lines[end] != RULE and lines[end].startswith("#"):
            end += 1
        section = Section(int(match[1]), match[2], index + 1, end + 2)
        uses = USES.match(lines[end - 1])
        if uses is not None:
            section.uses = [int(word) for word in (uses[1] or "").split()]
        if found:
            found[-1].last = index
        found.append(section)
        index = end + 1
    if found:
        found[-1].last = len(lines)
    return found


def section_at(sections: list[Section], line: int) -> int:
    """The number of the section a line is in, 0 for the head."""
    number = 0
    for section in sections:
        if section.first <= line:
            number = section.number
    return number


@dataclass
class Reference:
    """A module-level name used somewhere; `attribute` is what is taken of it."""

    name: str
    line: int
    attribute: str = ""
    called: bool = False


@dataclass
class Scope:
    names: set[str]
    is_class: bool = False
    globals: set[str] = field(default_factory=set)


def _targets(node: ast.AST) -> Iterator[str]:
    """The names that one node binds in its own scope."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        yield node.id
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def own_nodes(body: list[ast.AST]) -> Iterator[ast.AST]:
    """Walk without entering inner functions, classes and comprehensions."""
    todo = list(body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _SCOPES + _COMPREHENSIONS):
            todo.extend(ast.iter_child_nodes(node))
        else:
            # A walrus within a comprehension binds outside of it.
            if isinstance(node, _COMPREHENSIONS):
                todo.extend(item.target for item in ast.walk(node) if isinstance(item, ast.NamedExpr))


class References(ast.NodeVisitor):
    """Collect the uses of module-level names, local names set aside."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[Reference] = []
        self.scopes: list[Scope] = []
        self.parts: dict[ast.Name, tuple[str, bool]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                self.parts[node.value] = (node.attr, False)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self.parts[node.func] = ("", True)
        for statement in tree.body:
            self.visit(statement)

    def is_local(self, name: str) -> bool:
        for depth, scope in enumerate(reversed(self.scopes)):
            if scope.is_class and depth:
                continue
            if name in scope.globals:
                return False
            if name in scope.names:
                return True
        return False

    def visit_Name(self, node: ast.Name) -> None:
        if not self.is_local(node.id) and (self.scopes or isinstance(node.ctx, ast.Load)):
            attribute, called = self.parts.get(node, ("", False))
            self.found.append(Reference(node.id, node.lineno, attribute, called))

    def _inside(self, scope: Scope, nodes: list[ast.AST]) -> None:
        self.scopes.append(scope)
        for node in nodes:
            self.visit(node)
        self.scopes.pop()

    def _scope_of(self, nodes: list[ast.AST], is_class: bool = False) -> Scope:
        inner = list(own_nodes(nodes))
        declared = {name for node in inner if isinstance(node, ast.Global) for name in node.names}
        outer = {name for node in inner if isinstance(node, ast.Nonlocal) for name in node.names}
        names = {name for node in inner for name in _targets(node)} - declared - outer
        return Scope(names, is_class, declared)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        for outer in [*arguments.defaults, *(item for item in arguments.kw_defaults if item is not None)]:
            self.visit(outer)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [item for item in (arguments.vararg, arguments.kwarg) if item is not None]
        for item in every:
            if item.annotation is not None:
                self.visit(item.annotation)
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
        if not isinstance(node, ast.Lambda):
            for outer in [*node.decorator_list, *([node.returns] if node.returns is not None else [])]:
                self.visit(outer)
        scope = self._scope_of(body)
        scope.names |= {item.arg for item in every} - scope.globals
        self._inside(scope, body)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outer in [*node.decorator_list, *node.bases, *(item.value for item in node.keywords)]:
            self.visit(outer)
        self._inside(self._scope_of(list(node.body), is_class=True), list(node.body))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        names = {name for item in node.generators for inner in ast.walk(item.target) for name in _targets(inner)}
        self.visit(node.generators[0].iter)
        inside: list[ast.AST] = []
        for number, item in enumerate(node.generators):
            inside += [item.iter] if number else []
            inside += item.ifs
        inside += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._inside(Scope(names), inside)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


@dataclass
class Source:
    """The text and all that the laws ask of it."""

    text: str
    tree: ast.Module
    sections: list[Section]
    home: dict[str, list[int]]  # module-level name -> the sections that bind it
    references: list[Reference]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


_CACHE: dict[str, Source] = {}


def read_source(text: str) -> Source:
    if text not in _CACHE:
        tree = ast.parse(text)
        sections = find_sections(text)
        home: dict[str, list[int]] = {}
        typed: dict[str, list[int]] = {}
        blocks = {id(inner) for node in tree.body if is_type_checking(node) for inner in ast.walk(node)}
        for node in own_nodes(list(tree.body)):
            for name in _targets(node):
                numbers = (typed if id(node) in blocks else home).setdefault(name, [])
                number = section_at(sections, node.lineno)
                if number not in numbers:
                    numbers.append(number)
        # A name that only the type checker sees in the head may have its real home below.
        home = {**typed, **home}
        _CACHE[text] = Source(text, tree, sections, home, References(tree).found)
    return _CACHE[text]


def imported(source: Source) -> dict[str, tuple[str, str]]:
    """Module-level imported names -> (module, the part taken or '')."""
    out: dict[str, tuple[str, str]] = {}
    for node in own_nodes(list(source.tree.body)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                out[alias.asname or alias.name.split(".")[0]] = (alias.name.split(".")[0], "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                out[alias.asname or alias.name] = (node.module.split(".")[0], alias.name)
    return out


# -- the laws ------------------------------------------------------------------


def law_sections_ascend(text: str) -> list[str]:
    source = read_source(text)
    numbers = [section.number for section in source.sections]
    complaints = [] if numbers else ["there is no section"]
    for before, after in zip(numbers, numbers[1:], strict=False):
        if after <= before:
            complaints.append(f"section {after} follows section {before}")
    lines = text.splitlines()
    starts = {section.first for section in source.sections}
    for number, line in enumerate(lines, 1):
        if TITLE.match(line) and number - 1 not in starts:
            complaints.append(f"line {number}: a title without a rule of 78 '=' above it: {line}")
    for section in source.sections:
        if lines[section.body - 2 : section.body - 1] != [RULE]:
            complaints.append(f"section {section.number}: the banner is not closed by a rule")
    return complaints


def law_contents_are_banners(text: str) -> list[str]:
    source = read_source(text)
    docstring = ast.get_docstring(source.tree, clean=False) or ""
    listed = [(int(m[1]), m[2].strip()) for m in map(CONTENTS.match, docstring.splitlines()) if m]
    actual = [(section.number, section.title.strip()) for section in source.sections]
    complaints = [f"the contents lack {pair[0]} {pair[1]}" for pair in actual if pair not in listed]
    complaints += [f"no banner for contents {pair[0]} {pair[1]}" for pair in listed if pair not in actual]
    if not complaints and listed != actual:
        complaints.append("the contents are in another order than the banners")
    return complaints


def law_downward_only(text: str) -> list[str]:
    source = read_source(text)
    complaints = []
    for reference in source.references:
        here = section_at(source.sections, reference.line)
        homes = source.home.get(reference.name)
        if here and homes and min(homes) > here:
            complaints.append(f"line {reference.line}: section {here} uses {reference.name} of section {min(homes)}")
    for name, homes in source.home.items():
        if len([home for home in homes if home]) > 1 and name != "_":  # the head's imports for the type checker aside
            complaints.append(f"{name} is bound in sections {homes}")
    return complaints


def used_sections(source: Source) -> dict[int, set[int]]:
    """Section -> the other sections whose names it uses."""
    out: dict[int, set[int]] = {section.number: set() for section in source.sections}
    for reference in source.references:
        here = section_at(source.sections, reference.line)
        for home in source.home.get(reference.name, []):
            if here and home and home != here:
                out[here].add(home)
    return out


def law_uses_lines_are_true(text: str) -> list[str]:
    source = read_source(text)
    complaints = []
    used = used_sections(source)
    for section in source.sections:
        actual = sorted(used[section.number])
        if section.uses is None:
            complaints.append(f"section {section.number}: no '# Uses NN NN' line ends the banner, true is {actual}")
        elif section.uses != actual:
            line = " ".join(map(str, actual)) or "nothing"
            complaints.append(f"section {section.number}: says Uses {section.uses}, true is: # Uses {line}")
    return complaints


def law_private_names_stay_home(text: str) -> list[str]:
    source = read_source(text)
    complaints = []
    for reference in source.references:
        here = section_at(source.sections, reference.line)
        name, homes = reference.name, source.home.get(reference.name, [])
        if name.startswith("_") and not name.startswith("__") and homes and here not in homes:
            complaints.append(f"line {reference.line}: section {here} uses {name}, private to section {homes[0]}")
    return complaints


def may_use(section: int, module: str, part: str) -> bool:
    """Whether a section of the pure core may use this part of a module."""
    if section >= 60 or section == 0 or module not in OS_MODULES:
        return True
    if module == "time":
        return section == 13
    if module == "threading":
        return section == 13 or (40 <= section < 50 and part in LOCKS)
    return part in PURE_PARTS.get(module, set())


def law_core_knows_no_system(text: str) -> list[str]:
    source = read_source(text)
    modules = imported(source)
    complaints = []
    for reference in source.references:
        here = section_at(source.sections, reference.line)
        module, part = modules.get(reference.name, ("", ""))
        part = part or reference.attribute
        if module and not may_use(here, module, part):
            complaints.append(f"line {reference.line}: section {here} uses {module}.{part}".rstrip("."))
        shadowed = reference.name in source.home or not hasattr(builtins, reference.name)
        if 10 <= here < 60 and reference.name in WORLD_CALLS and not shadowed:
            complaints.append(f"line {reference.line}: section {here} calls {reference.name}()")
        if 10 <= here < 60 and module == "datetime" and reference.attribute in CLOCK_METHODS:
            complaints.append(f"line {reference.line}: section {here} reads the clock")
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            here = section_at(source.sections, node.lineno)
            for module in _imported_modules(node):
                if 10 <= here < 60 and module in OS_MODULES:
                    complaints.append(f"line {node.lineno}: section {here} imports {module}")
    return complaints


def _imported_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [(node.module or "").split(".")[0]]


def law_imports_stand_in_the_head(text: str) -> list[str]:
    source = read_source(text)
    lines = text.splitlines()
    top = {id(node) for node in own_nodes(list(source.tree.body))}
    typed = {id(inner) for node in ast.walk(source.tree) if is_type_checking(node) for inner in ast.walk(node)}
    complaints = []
    for node in ast.walk(source.tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or id(node) in typed:
            continue
        where = f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.level:
            complaints.append(f"{where}: a relative import")
        late = "# late:" in " ".join(lines[node.lineno - 1 : node.end_lineno])
        for module in _imported_modules(node):
            if id(node) not in top:
                if not late:
                    complaints.append(f"{where}: imports {module} in a function without a '# late:' remark")
                continue
            if section_at(source.sections, node.lineno):
                complaints.append(f"{where}: imports {module} below the head")
            if module not in LIGHT:
                complaints.append(f"{where}: {module} is not in python3-light")
            if module in SLOW:
                complaints.append(f"{where}: {module} is slow to load, import it late")
    return complaints


def _needs_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, in_class: bool) -> bool:
    if node.name.startswith("_") or ast.get_docstring(node):
        return False
    if not in_class:
        return True
    if isinstance(node, ast.ClassDef):
        return True
    length = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
    setter = any(isinstance(item, ast.Attribute) and item.attr in ("setter", "deleter") for item in node.decorator_list)
    return not (setter or length <= 3 or node.name in KNOWN_METHODS)


def law_public_things_are_documented(text: str) -> list[str]:
    tree = read_source(text).tree
    complaints = [] if ast.get_docstring(tree) else ["the module has no docstring"]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if not isinstance(node, kinds):
            continue
        if _needs_docstring(node, False):
            complaints.append(f"line {node.lineno}: {node.name} has no docstring")
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, kinds) and _needs_docstring(method, True):
                    complaints.append(f"line {method.lineno}: {node.name}.{method.name} has no docstring")
    return complaints


def law_sizes(text: str) -> list[str]:
    source = read_source(text)
    total = len(text.splitlines())
    complaints = [f"{total} lines, the most is {FILE_LINES - 1}"] if total >= FILE_LINES else []
    for section in source.sections:
        length = section.last - section.first + 1
        if length > SECTION_LINES_MOST and section.number not in LONG_SECTIONS:
            complaints.append(f"section {section.number} has {length} lines, the most is {SECTION_LINES_MOST}")
    return complaints


def law_ascii(text: str) -> list[str]:
    return [f"line {n}: not ASCII" for n, line in enumerate(text.splitlines(), 1) if not line.isascii()]


def law_a_test_file_per_section(text: str, tests: pathlib.Path = TESTS) -> list[str]:
    missing = [s for s in read_source(text).sections if not list(tests.glob(f"test_{s.number}_*.py"))]
    return [f"no tests/test_{section.number}_*.py for {section.title}" for section in missing]


def law_all_names_exist(text: str) -> list[str]:
    source = read_source(text)
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names = ast.literal_eval(node.value)
            return [f"__all__ names {name}, which is not there" for name in names if name not in source.home]
    return ["there is no __all__"]


LAWS: list[Callable[[str], list[str]]] = [
    law_sections_ascend,
    law_contents_are_banners,
    law_downward_only,
    law_uses_lines_are_true,
    law_private_names_stay_home,
    law_core_knows_no_system,
    law_imports_stand_in_the_head,
    law_public_things_are_documented,
    law_sizes,
    law_ascii,
    law_a_test_file_per_section,
    law_all_names_exist,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__[4:])
def test_law(law: Callable[[str], list[str]]) -> None:
    complaints = law(PROGRAM.read_text("utf-8"))
    assert not complaints, "\n" + "\n".join(complaints)


def test_long_sections_are_named() -> None:
    """Not a failure: sections between 500 and 900 lines show with `pytest -s`."""
    for section in read_source(PROGRAM.read_text("utf-8")).sections:
        length = section.last - section.first + 1
        if length > SECTION_LINES and section.number not in LONG_SECTIONS:
            print(f"section {section.number} {section.title}: {length} lines")


# -- the laws themselves -------------------------------------------------------

SAMPLE = f'''"""A sample.

  10  Limits
  13  Log
  41  Cache
  60  System
"""

from __future__ import annotations

import os
import socket
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LIMIT", "Cache", "main"]

{RULE}
# 10 Limits
#
# Uses nothing
{RULE}

LIMIT = 10
_secret = 5
ADDRESS = socket.inet_pton(socket.AF_INET, "1.2.3.4")

{RULE}
# 13 Log
#
# Uses nothing
{RULE}


def stamp() -> str:
    """Say when."""
    return time.strftime("%H")

{RULE}
# 41 Cache
#
# Uses 10
{RULE}


class Cache:
    """Hold things."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def add(self, stamp: Any) -> int:
        """Add one."""
        main = [stamp for stamp in range(LIMIT)]
        return len(main)

{RULE}
# 60 System
#
# Uses 13 41
{RULE}


def main() -> None:
    """Start."""
    import ssl  # late: seldom needed

    print(os.getpid(), Cache(), ssl, stamp())
'''

FAULTS: list[tuple[str, str, str]] = [
    ("sections_ascend", "# 13 Log", "# 09 Log\n# 61 Log"),
    ("sections_ascend", f"{RULE}\n# 13 Log", f"{RULE[:-1]}\n# 13 Log"),
    ("sections_ascend", f"# Uses 13 41\n{RULE}", "# Uses 13 41"),
    ("contents_are_banners", "  41  Cache", "  41  Cash"),
    ("contents_are_banners", "  13  Log\n  41  Cache", "  41  Cache\n  13  Log"),
    ("downward_only", "return len(main)", "return stamp2()\n\n\n" + RULE + "\n# 42 X\n" + RULE + "\nstamp2 = 1\n"),
    ("downward_only", "self.lock = threading.Lock()", "self.lock = main"),
    ("downward_only", "LIMIT = 10", "LIMIT: Cache = 10"),
    ("downward_only", '"""Start."""', '"""Start."""\n    global LIMIT\n    LIMIT = 3\n\n\nLIMIT = 7\n\n\ndef more():'),
    ("uses_lines_are_true", "# Uses 13 41", "# Uses 41"),
    ("uses_lines_are_true", "# Uses 10\n", "# Uses 10 13\n"),
    ("uses_lines_are_true", "# Uses 10\n", "# By the way\n"),
    ("private_names_stay_home", "range(LIMIT)", "range(_secret)"),
    ("core_knows_no_system", "range(LIMIT)", "range(os.getpid())"),
    ("core_knows_no_system", "threading.Lock()", "threading.Thread()"),
    ("core_knows_no_system", "range(LIMIT)", "range(int(time.time()))"),
    ("core_knows_no_system", "return len(main)", "return open('x')"),
    ("core_knows_no_system", "return len(main)", "return print(1)"),
    ("core_knows_no_system", "socket.AF_INET,", "socket.socket(),"),
    ("core_knows_no_system", '"""Add one."""', '"""Add one."""\n        import os  # late: no'),
    ("imports_stand_in_the_head", "import os\n", "import os\nimport asyncio\n"),
    ("imports_stand_in_the_head", "import os\n", "import os\nimport json\n"),
    ("imports_stand_in_the_head", "import os\n", "import os\nfrom . import other\n"),
    ("imports_stand_in_the_head", "  # late: seldom needed", ""),
    ("imports_stand_in_the_head", "_secret = 5", "import struct"),
    ("public_things_are_documented", '"""Hold things."""', "pass"),
    ("public_things_are_documented", '"""Say when."""', "pass"),
    ("public_things_are_documented", '"""Add one."""', "a = 1\n        b = 2\n        del a, b"),
    ("sizes", "_secret = 5", "_secret = 5\n" * 901),
    ("sizes", "_secret = 5", "_secret = 5\n" * FILE_LINES),
    ("ascii", "# 13 Log", "# 13 L\u00f6g"),
    ("all_names_exist", '"LIMIT", ', '"LIMIT", "Nothing", '),
    ("all_names_exist", "__all__ = ", "__some__ = "),
]


def test_the_sample_is_lawful() -> None:
    for law in LAWS:
        if law is not law_a_test_file_per_section:
            assert law(SAMPLE) == [], law.__name__


@pytest.mark.parametrize(("name", "old", "new"), FAULTS, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found(name: str, old: str, new: str) -> None:
    assert old in SAMPLE
    assert globals()[f"law_{name}"](SAMPLE.replace(old, new)), f"the law {name} did not see {new!r}"


def test_a_missing_test_file_is_found(tmp_path: pathlib.Path) -> None:
    for name in ("test_10_x.py", "test_13_x.py", "test_41_x.py"):
        (tmp_path / name).touch()
    assert law_a_test_file_per_section(SAMPLE, tmp_path) == ["no tests/test_60_*.py for System"]
    (tmp_path / "test_60_x.py").touch()
    assert law_a_test_file_per_section(SAMPLE, tmp_path) == []
