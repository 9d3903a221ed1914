"""Every problem of docs/field-problems.md is answered by a test that names it."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "field-problems.md"
PROBLEMS = set(range(1, 43))


def named(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """The numbers that a test names: `test_problem_10_…`, or `field problem 10` in its docstring."""
    in_name = re.findall(r"problems?((?:_(?:and_)?\d+)+)", function.name)
    in_words = re.findall(r"field problems? ([\d, and]+)", ast.get_docstring(function) or "", re.IGNORECASE)
    return {int(number) for text in (*in_name, *in_words) for number in re.findall(r"\d+", text)}


def test_every_field_problem_has_a_test_that_names_it() -> None:
    covered: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                covered |= named(node)
    assert sorted(PROBLEMS - covered) == []


def test_the_page_lists_them_all_once() -> None:
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)]
    assert rows == sorted(PROBLEMS)
