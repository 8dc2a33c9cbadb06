# SPDX-License-Identifier: Apache-2.0
"""Tests of a build folder: `names.py BUILDDIR SUITE [PATTERN]` prints their names, one a line;
`names.py --targets BUILDDIR SUITE` the files that they need built; `names.py --installed BUILDDIR`
those that are installed.

`meson test --list` prints the names in a form that depends on how many suites there are.
"""

import json
import os
import subprocess
import sys


def introspect(build: str, what: str) -> list[dict]:
    return json.loads(subprocess.check_output(["meson", "introspect", build, what]))


def tests(build: str, suite: str) -> list[dict]:
    return [test for test in introspect(build, "--tests")
            if any(s.split(":")[-1] == suite for s in test["suite"])]


def names(build: str, suite: str, pattern: str = "") -> list[str]:
    return [test["name"] for test in tests(build, suite) if pattern in test["name"]]


def targets(build: str, suite: str) -> list[str]:
    needed = {target for test in tests(build, suite) for target in test["depends"]}
    return [os.path.relpath(name, build) for target in introspect(build, "--targets")
            if target["id"] in needed for name in target["filename"]]


def installed(build: str) -> list[str]:
    return [os.path.relpath(name, build) for target in introspect(build, "--targets")
            if target["installed"] for name in target["filename"]]


if __name__ == "__main__":
    words = sys.argv[1:]
    lists = {"--targets": targets, "--installed": installed}
    print("\n".join(lists[words[0]](*words[1:]) if words[0] in lists else names(*words)))
