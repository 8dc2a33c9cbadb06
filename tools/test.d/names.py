# SPDX-License-Identifier: Apache-2.0
"""Names of the tests in a build folder: `names.py BUILDDIR SUITE PATTERN`, one a line.

`meson test --list` prints them in a form that depends on how many suites there are.
"""

import json
import subprocess
import sys


def names(build: str, suite: str, pattern: str) -> list[str]:
    tests = json.loads(subprocess.check_output(["meson", "introspect", build, "--tests"]))
    return [test["name"] for test in tests
            if pattern in test["name"] and any(s.split(":")[-1] == suite for s in test["suite"])]


if __name__ == "__main__":
    print("\n".join(names(*sys.argv[1:4])))
