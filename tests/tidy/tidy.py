#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the house that a compiler does not check, over every file of the repository.

Usage: tidy.py ROOT            checks the tree, prints one line per finding, exit code 1 if any
       tidy.py --self-test     shows each rule a text that breaks it and one that does not
"""

import pathlib
import re
import subprocess
import sys

CODE = {".hpp", ".cpp", ".h", ".c", ".py", ".def"}
C_LIKE = {".hpp", ".cpp", ".h", ".c"}
COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500  # of the product; tests may be long lists
SPDX_NAMES = {"meson.build", "meson_options.txt"}

# Within the data plane a folder may include itself and those before it.
LAYERS = "abi base wire cache flow ring snapshot stats worker slow port".split()
CONTROL_MAY_INCLUDE = ("control/", "dataplane/abi/", "dataplane/base/", "dataplane/snapshot/",
                       "dataplane/stats/", "ebpf/abi/")

# Library headers and the only places that may know them.
LIBRARIES = [
    ("DPDK", re.compile(r"rte_\w+\.h$"), ("dataplane/port/", "dataplane/main.cpp")),
    ("libbpf", re.compile(r"bpf/(?!bpf_helpers\.h|bpf_endian\.h)"), ("control/xdp/",)),
    ("BPF helpers", re.compile(r"bpf/(bpf_helpers|bpf_endian)\.h"), ("ebpf/",)),
    ("yaml-cpp", re.compile(r"yaml-cpp/"), ("control/config/",)),
    ("CLI11", re.compile(r"CLI/"), ("control/cli/", "control/daemon/main.cpp",
                                    "dataplane/port/main.cpp")),
]

# Calls that have a better replacement: (what, where it is banned, where it is not, why).
BANNED_CALLS = [
    (re.compile(r"\b__builtin_prefetch\("), "dataplane/", "dataplane/base/prefetch.hpp",
     "use base/prefetch.hpp: GCC may drop a function that only prefetches"),
]

# Put together here so that this file does not break its own rule.
MARKERS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
WORDS = re.compile("|".join(re.escape(w) for w in ("/wo" + "rk/", "/tmp/" + "wt")))

# Functions that may be longer, each with the reason. The list may shrink, never grow silently: an
# entry that is no longer needed is a finding too.
LONG_FUNCTIONS = {
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def included(text):
    """(line number, header) of each #include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(2)


def rule_spdx(path, text):
    head = "\n".join(text.splitlines()[:3])
    if "SPDX-License-Identifier:" not in head:
        yield 1, "no SPDX line among the first three"


def rule_pragma_once(path, text):
    if path.endswith(".hpp") and not re.search(r"^#pragma once$", text, re.M):
        yield 1, "no #pragma once"


def rule_columns(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > COLUMNS_MAX:
            yield number, f"{len(line)} columns; allowed {COLUMNS_MAX}"
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
        if "\t" in line:
            yield number, "a tab"


def rule_file(path, text):
    lines = text.count("\n")
    if lines > FILE_LINES_MAX and not path.startswith("tests/"):
        yield 1, f"{lines} lines; allowed {FILE_LINES_MAX}"


def rule_markers(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = MARKERS.search(line)
        if match:
            yield number, f"marker {match.group(1)}: do it, or write it down where work is planned"


def rule_words(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = WORDS.search(line)
        if match:
            yield number, f"a path of one person's machine: {match.group(0)}"


def layer_of(path):
    parts = path.split("/")
    return LAYERS.index(parts[1]) if parts[0] == "dataplane" and parts[1] in LAYERS else None


def rule_direction(path, text):
    top = path.split("/")[0]
    for number, header in included(text):
        target = header.split("/")[0]
        if target not in ("dataplane", "control", "ebpf", "tests"):
            continue
        if target == "tests" and top != "tests":
            yield number, f"{header}: only tests include tests"
        if target == "control" and top not in ("control", "tests"):
            yield number, f"{header}: nobody includes control"
        if top == "control" and not header.startswith(CONTROL_MAY_INCLUDE):
            yield number, f"{header}: control may not include this part of the tree"
        if top == "ebpf" and target != "ebpf":
            yield number, f"{header}: ebpf includes only ebpf"
        if top == "dataplane" and target == "ebpf" and not header.startswith("ebpf/abi/"):
            yield number, f"{header}: only ebpf/abi is shared"
        own, other = layer_of(path), layer_of(header)
        if own is not None and other is not None and other > own:
            yield number, f"{header}: {LAYERS[own]} stands below {LAYERS[other]}"


def rule_libraries(path, text):
    if path.startswith("tests/"):
        return
    for number, header in included(text):
        for name, pattern, places in LIBRARIES:
            if pattern.match(header) and not path.startswith(places):
                yield number, f"{header}: {name} is known only to {', '.join(places)}"


def rule_banned_calls(path, text):
    for pattern, banned_in, allowed_in, why in BANNED_CALLS:
        if not path.startswith(banned_in) or path == allowed_in:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield number, why


LITERALS = re.compile(
    r"//[^\n]*|/\*.*?\*/"                      # comments
    r'|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"'     # texts
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",   # characters, but not 1'000
    re.S)
DIRECTIVE = re.compile(r"^[ ]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
ALIGNMENT = re.compile(r"\balignas\s*\([^()]*\)")
INITIALIZER = re.compile(r"(?<=[\w>\])])\{[^{};]*\}")  # a_{1}: no blank before the brace


def lines_only(match):
    return "\n" * match.group(0).count("\n")


def statements_of(text):
    """The same text, lines kept, with no brace left that does not open a block or a list."""
    clean = DIRECTIVE.sub(lines_only, LITERALS.sub(lines_only, text))
    clean = ALIGNMENT.sub("", clean)
    before = None
    while before != clean:
        before, clean = clean, INITIALIZER.sub(lines_only, clean)
    return clean


# A block that is opened by one of these holds declarations, not statements.
NOT_A_FUNCTION = re.compile(r"(^|[\s;}])(namespace|struct|class|union|enum|extern)\b[^()]*$")
FUNCTION_HEAD = re.compile(r"([~\w:]+|operator\s*\S+)\s*\([^;{}]*\)[^;{}()]*$")
STATEMENT = re.compile(r"^(if|for|while|switch|catch|return|do|else)$")


def functions(text):
    """(first line, name, lines) of each function body, by matching braces."""
    clean = statements_of(text)
    depth, inside, start = 0, None, 0
    for match in re.finditer(r"[{};]", clean):
        at, sign = match.start(), match.group(0)
        if sign == ";":
            if inside is None:
                start = at + 1
            continue
        if sign == "{":
            if inside is None:
                head = clean[start:at]
                found = FUNCTION_HEAD.search(head)
                if found and not NOT_A_FUNCTION.search(head) \
                        and not STATEMENT.match(found.group(1)):
                    first = clean.count("\n", 0, start + found.start()) + 1
                    inside = (depth, found.group(1), first)
                else:
                    start = at + 1
            depth += 1
        else:
            depth -= 1
            if inside is not None and depth == inside[0]:
                last = clean.count("\n", 0, at) + 1
                yield inside[2], inside[1], last - inside[2] + 1
                inside = None
            if inside is None:
                start = at + 1


def rule_functions(path, text):
    for first, name, lines in functions(text):
        if lines > FUNCTION_LINES_MAX and (path, name) not in LONG_FUNCTIONS:
            yield first, f"{name} has {lines} lines; allowed {FUNCTION_LINES_MAX}"


def long_functions_needed(texts):
    """Entries of LONG_FUNCTIONS that nothing needs any more."""
    for path, name in LONG_FUNCTIONS:
        lines = [n for _, f, n in functions(texts.get(path, "")) if f == name]
        if not lines or max(lines) <= FUNCTION_LINES_MAX:
            yield path, 1, f"{name} is short by now: take it off LONG_FUNCTIONS"


RULES = [
    (rule_spdx, CODE | {""}), (rule_pragma_once, C_LIKE), (rule_columns, C_LIKE | {".py"}),
    (rule_file, C_LIKE | {".py"}),
    (rule_markers, None), (rule_words, None), (rule_direction, C_LIKE),
    (rule_libraries, C_LIKE), (rule_banned_calls, C_LIKE), (rule_functions, C_LIKE),
]


def applies(suffixes, path):
    suffix = pathlib.PurePosixPath(path).suffix
    if suffixes is None:
        return True
    if pathlib.PurePosixPath(path).name in SPDX_NAMES:
        return "" in suffixes
    return suffix != "" and suffix in suffixes


def findings_of(path, text):
    for rule, suffixes in RULES:
        if applies(suffixes, path):
            for number, what in rule(path, text):
                yield path, number, what


def files_of(root):
    """What is, or would be, in the repository; all files when there is no git."""
    try:
        out = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard"], check=True, capture_output=True).stdout
        names = [n for n in out.decode().split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(root)) for p in pathlib.Path(root).rglob("*")
                 if not any(part.startswith((".", "build")) for part in p.relative_to(root).parts)]
    return sorted(n for n in set(names) if pathlib.Path(root, n).is_file())


def check_tree(root):
    texts = {}
    for name in files_of(root):
        data = pathlib.Path(root, name).read_bytes()
        if b"\0" in data:
            continue  # a capture or a corpus file
        texts[name] = data.decode("utf-8", "replace")
    found = [f for name, text in texts.items() for f in findings_of(name, text)]
    found += list(long_functions_needed(texts))
    for path, number, what in found:
        print(f"{path}:{number}: {what}")
    print(f"{len(texts)} files, {len(found)} findings")
    return 1 if found or len(texts) < 20 else 0


HEAD = "// SPDX-License-Identifier: Apache-2.0\n"
LONG_BODY = "".join(f"  call({i});\n" for i in range(FUNCTION_LINES_MAX))

# (path, text, finding expected or None)
SELF_TEST = [
    ("dataplane/wire/a.hpp", HEAD + "#pragma once\n", None),
    ("dataplane/wire/a.hpp", "#pragma once\n", "SPDX"),
    ("dataplane/wire/meson.build", "x = 1\n", "SPDX"),
    ("dataplane/wire/a.hpp", HEAD, "#pragma once"),
    ("dataplane/wire/a.cpp", HEAD + "x" * 101 + "\n", "101 columns"),
    ("dataplane/wire/a.cpp", HEAD + "x" * 100 + "\n", None),
    ("dataplane/wire/a.cpp", HEAD + "x \n", "blanks"),
    ("dataplane/wire/a.cpp", HEAD + "int a;\n" * FILE_LINES_MAX, "501 lines"),
    ("tests/unit/a.cpp", HEAD + "int a;\n" * FILE_LINES_MAX, None),
    ("docs/a.md", "a " + "TO" + "DO here\n", "marker"),
    ("docs/a.md", "see /wo" + "rk/a\n", "machine"),
    ("dataplane/wire/a.cpp", HEAD + '#include "dataplane/cache/b.hpp"\n', "wire stands below"),
    ("dataplane/cache/a.cpp", HEAD + '#include "dataplane/wire/b.hpp"\n', None),
    ("dataplane/base/a.cpp", HEAD + '#include "dataplane/abi/b.hpp"\n', None),
    ("dataplane/port/a.cpp", HEAD + '#include "control/base/status.hpp"\n', "nobody"),
    ("control/daemon/a.cpp", HEAD + '#include "dataplane/worker/b.hpp"\n', "may not include"),
    ("control/daemon/a.cpp", HEAD + '#include "dataplane/stats/b.hpp"\n', None),
    ("control/daemon/a.cpp", HEAD + '#include "tests/support/b.hpp"\n', "only tests"),
    ("ebpf/a.bpf.h", HEAD + '#include "dataplane/abi/b.hpp"\n', "ebpf includes"),
    ("dataplane/port/a.cpp", HEAD + '#include "ebpf/maps.bpf.h"\n', "only ebpf/abi"),
    ("dataplane/worker/a.cpp", HEAD + "#include <rte_mbuf.h>\n", "DPDK"),
    ("dataplane/port/a.cpp", HEAD + "#include <rte_mbuf.h>\n", None),
    ("control/daemon/a.cpp", HEAD + "#include <bpf/libbpf.h>\n", "libbpf"),
    ("control/daemon/a.cpp", HEAD + "#include <yaml-cpp/yaml.h>\n", "yaml-cpp"),
    ("control/daemon/a.cpp", HEAD + "#include <CLI/CLI.hpp>\n", "CLI11"),
    ("dataplane/wire/a.cpp", HEAD + "  __builtin_prefetch(line);\n", "prefetch.hpp"),
    ("dataplane/base/prefetch.hpp", HEAD + "#pragma once\n__builtin_prefetch(line);\n", None),
    ("dataplane/wire/a.cpp", HEAD + "int f(int a) {\n" + LONG_BODY + "}\n", "f has 72 lines"),
    ("dataplane/wire/a.cpp", HEAD + "struct S {\n S() : a_{1} {\n" + LONG_BODY + "}\n};\n",
     "has 72 lines"),
    ("dataplane/wire/a.cpp", HEAD + "namespace n {\nbool A::f() const noexcept {\n if (a) {\n}\n"
     + LONG_BODY + "}\n}\n", "A::f has 74 lines"),
    ("dataplane/wire/a.cpp", HEAD + "namespace n {\n" + "int f() { return '{'; }  // {\n" * 90
     + "}\n", None),
    ("dataplane/wire/a.cpp", HEAD + "class C {\n" + "  int f() { return 1; }\n" * 90 + "};\n",
     None),
    ("dataplane/wire/a.cpp", HEAD + "class alignas(64) C {\n" + "  int f() { return 1; }\n" * 90
     + "};\n", None),
    ("dataplane/wire/a.cpp", HEAD + "constexpr int k[] = {\n" + "  1,\n" * 90 + "};\n", None),
]


def self_test():
    failed = 0
    for number, (path, text, expected) in enumerate(SELF_TEST):
        found = [what for _, _, what in findings_of(path, text)]
        good = not found if expected is None else any(expected in what for what in found)
        if not good:
            failed += 1
            print(f"case {number}, {path}: expected {expected!r}, found {found}")
    print(f"{len(SELF_TEST)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__)
        sys.exit(2)
    sys.exit(self_test() if sys.argv[1] == "--self-test" else check_tree(sys.argv[1]))
