# SPDX-License-Identifier: Apache-2.0
"""Counts the test cases of JUnit files: prints `PASSED FAILED SKIPPED`, names failures on stderr.

Meson writes one file for all its tests and merges the cases of GoogleTest programs into it; pytest
writes one as well. A file that is missing or cannot be read counts as one failure, so that a run
which died before it could report is not taken for one without tests.
"""

import sys
import xml.etree.ElementTree as ElementTree


def outcome(case) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("status") == "notrun":
        return "skipped"
    return "passed"


def count(path: str) -> dict:
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        cases = ElementTree.parse(path).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError) as error:
        print(f"no test report: {error}", file=sys.stderr)
        totals["failed"] = 1
        return totals
    for case in cases:
        what = outcome(case)
        totals[what] += 1
        if what == "failed":
            print(f"FAILED: {case.get('classname', '')}.{case.get('name', '')}", file=sys.stderr)
    return totals


def main(paths) -> int:
    sums = [count(path) for path in paths]
    print(*(sum(s[key] for s in sums) for key in ("passed", "failed", "skipped")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
