"""Docstrings in the English of the field: two counts that are 0."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("mukoe", "programs", "configs", "benchmarks")

# A docstring opens with a verb or a noun phrase, never with a clause.
CLAUSE_OPENINGS = frozenset(
    ("what", "who", "whose", "whom", "how", "where", "whether", "when", "which", "why")
)
# The description of an argument or a field starts with a noun.
FRAGMENT_OPENINGS = CLAUSE_OPENINGS.union(
    ("of", "for", "that", "is", "are", "was", "in", "on", "at", "to", "from", "with", "by"),
    ("as", "until", "if", "while", "since", "about"),
)
_SECTIONS = ("Args:", "Arguments:", "Attributes:")
_FIELD = re.compile(r"^(\s*)([*\w]+(?:, [*\w]+)*)(?: \([^)]*\))?: +(\S+)")


def docstrings(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yields line, text and whether a class owns it, for every docstring of a module."""
    tree = ast.parse(source)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield body[0].lineno, text, isinstance(node, ast.ClassDef)
        # A string behind an assignment documents its name.
        for before, after in zip(body, body[1:], strict=False):
            if not isinstance(before, ast.Assign | ast.AnnAssign):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                yield after.lineno, str(after.value.value).strip(), False


def opening(text: str) -> str:
    """Returns the first word, in lower case."""
    match = re.match(r"[^\w`]*([A-Za-z']+)", text)
    return match[1].lower() if match else ""


def described(text: str, of_class: bool) -> Iterator[str]:
    """Yields the first word of the description of each argument or field."""
    inside, indent = False, 0
    for line in text.split("\n")[1:]:
        if line.strip() in _SECTIONS:
            inside, indent = True, len(line) - len(line.lstrip())
            continue
        if re.fullmatch(r"\s*[A-Z]\w+:", line):
            inside = False
        match = _FIELD.match(line)
        if match is None:
            continue
        is_argument = inside and len(match[1]) in (indent + 2, indent + 4)
        is_field = of_class and not inside and not match[1]
        if is_argument or is_field:
            yield match[3].strip("`'\"(,.").lower()


def clauses(source: str) -> list[int]:
    """Returns the lines of docstrings that open with a clause."""
    return [line for line, text, _ in docstrings(source) if opening(text) in CLAUSE_OPENINGS]


def fragments(source: str) -> list[int]:
    """Returns the lines of docstrings once for each description that is a fragment."""
    return [
        line
        for line, text, of_class in docstrings(source)
        for word in described(text, of_class)
        if word in FRAGMENT_OPENINGS
    ]


def _places(check) -> list[str]:
    paths = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    assert len(paths) > 100
    return [
        f"{path.relative_to(ROOT)}:{line}" for path in paths for line in check(path.read_text())
    ]


def test_docstrings_open_with_a_verb_or_a_noun_phrase():
    assert _places(clauses) == []


def test_descriptions_of_arguments_start_with_a_noun():
    assert _places(fragments) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""What a node does."""', [1]),
        ('x = 1\n"""Whether it is one."""', [2]),
        ('def f():\n    """How often.\n    """', [2]),
        ('class A:\n    """Nodes. What they do stands below."""', []),
        ('def f():\n    """Returns how often."""', []),
    ],
)
def test_clauses_are_found(source, lines):
    assert clauses(source) == lines


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("Args:\n      params: of the network.\n      key: random key.", 1),
        ("Args:\n      params: network parameters, of which\n        that: part is used.", 0),
        ("params: of the network.\n    key (int): that acts.", 2),
        ("Returns:\n      For each of them a number.", 0),
        ("params: network parameters.\n    key: random key.", 0),
    ],
)
def test_fragments_are_found(body, count):
    source = f'class A:\n    """Summary.\n\n    {body}\n    """\n'
    assert len(fragments(source)) == count
