#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/behaviour.md: what every DNS message gets, and which test says so.

Usage: behaviour.py            prints the document
       behaviour.py --check    nothing, or exit code 1 and why docs/behaviour.md is out of date
       behaviour.py --write    writes it

Items stand in items.txt. A test belongs to the items in its name: `test_A36_ttl_decrements`, or
TEST(UpstreamAnswer, A36_...) in C++. An item is "not yet" where a test of it is marked so.
"""

import ast
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
DOCUMENT = ROOT / "docs/behaviour.md"

CPP_TEST = re.compile(r"^(?:TEST|TEST_F|TEST_P|TYPED_TEST)\((\w+),\s*(\w+)\)", re.MULTILINE)

GROUPS = (
    ("A1", "Answers"),
    ("A21", "What may be kept"),
    ("A36", "TTLs"),
    ("A45", "Denials and failures"),
    ("A55", "Asking upstream"),
    ("A72", "EDNS towards clients"),
    ("A90", "Sizes and packets"),
    ("A100", "TCP"),
    ("A107", "Which queries are answered"),
    ("A121", "Prefetch, stale, robustness"),
    ("B1", "Broken messages"),
    ("B25", "Broken and forged packets"),
    ("B44", "Floods, poisoning, abuse"),
)


class Item:
    def __init__(self, ident: str, level: str, sentence: str):
        self.ident, self.level, self.sentence = ident, level, sentence
        self.note = ""  # why there is no test of it, or why it is otherwise here
        self.system, self.unit, self.missing = [], [], []

    @property
    def status(self) -> str:
        if self.note:
            return self.note
        if self.missing:
            return "partly" if self.system or self.unit else "not yet"
        if self.system:
            return "tested"
        return "unit tests" if self.unit else "not yet"


def read_items() -> dict[str, Item]:
    items = {}
    last = None
    for line in (HERE / "items.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            last.note = line.strip()
            continue
        last = Item(*line.split(" ", 2))
        assert last.level in ("must", "should", "option") and last.ident not in items, line
        items[last.ident] = last
    return items


def ids_in(name: str) -> list[str]:
    """Of `test_A36_B60_name`: A36 and B60. They stand in front."""
    found = []
    for part in name.removeprefix("test_").split("_"):
        if not re.fullmatch(r"[AB][0-9]+", part, re.IGNORECASE):
            break
        found.append(part.upper())
    return found


def is_not_yet(function: ast.FunctionDef) -> bool:
    return any(
        isinstance(mark, ast.Name) and mark.id == "not_yet" for mark in function.decorator_list
    )


def collect(items: dict[str, Item]) -> list[str]:
    """Fills in the tests; returns what is wrong with names."""
    wrong = []

    def items_of(name: str, where: str) -> list[Item]:
        wrong.extend(
            f"{where}: {name}: there is no item {ident}"
            for ident in ids_in(name)
            if ident not in items
        )
        return [items[ident] for ident in ids_in(name) if ident in items]

    for path in sorted((ROOT / "tests/system").rglob("test_*.py")):
        where = path.relative_to(ROOT / "tests/system").as_posix()
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            for item in items_of(node.name, where):
                (item.missing if is_not_yet(node) else item.system).append((where, node.name))
    for path in sorted((ROOT / "tests").rglob("*_test.cpp")):
        where = path.relative_to(ROOT / "tests").as_posix()
        for suite, name in CPP_TEST.findall(path.read_text()):
            for item in items_of(name, where):
                item.unit.append((where, f"{suite}.{name}"))
    return wrong


def names(tests) -> str:
    return ", ".join(f"`{name}`" for _, name in tests)


def document(items: dict[str, Item]) -> str:
    counts = {}
    for item in items.values():
        key = item.status.split(":")[0]
        counts[key] = counts.get(key, 0) + 1
    lines = [
        "# Behaviour",
        "",
        "What every DNS message gets: one item a line, with the tests that say so. Written by",
        "`tests/system/conformance/behaviour.py --write`; a test says when it is out of date.",
        "",
        "A is what well-behaved clients and resolvers may expect, B is hostile or broken input.",
        "Tests in small letters and those in C++ are outside the conformance suite",
        "(`tests/system/conformance`). `partly`: a part of it is not there yet.",
        "",
        "In all: " + ", ".join(f"{count} {key}" for key, count in sorted(counts.items())) + ".",
        "",
    ]
    titles = dict(GROUPS)
    for item in items.values():
        if item.ident in titles:
            lines += [
                "",
                f"## {titles[item.ident]}",
                "",
                "| item | level | what | status | tests |",
                "|---|---|---|---|---|",
            ]
        tests = names(item.system + item.unit)
        if item.missing:
            tests += ("; " if tests else "") + "not yet: " + names(item.missing)
        lines.append(f"| {item.ident} | {item.level} | {item.sentence} | {item.status} | {tests} |")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def main() -> int:
    items = read_items()
    wrong = collect(items)
    text = document(items)
    if "--check" in sys.argv:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != text:
            wrong.append(
                "docs/behaviour.md is out of date: run "
                "tests/system/conformance/behaviour.py --write"
            )
    elif "--write" in sys.argv:
        DOCUMENT.write_text(text)
    else:
        sys.stdout.write(text)
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
