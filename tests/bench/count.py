#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions of each operation of count-bench, counted by callgrind, against those on record
(instructions.json). Unlike times they are the same on every machine and in every run.

  count.py COUNT-BENCH             prints the table; exit code 1 if an operation takes more than 2 %
                                   more instructions than on record, 77 (skipped) if the record is
                                   of another compiler or C library
  count.py COUNT-BENCH --update    prints the table and writes what is counted to the record
  count.py --self-test             shows the reader and the comparison what they must find
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RECORD = pathlib.Path(__file__).with_name("instructions.json")
TOLERANCE = 0.02
PREFIX = "counted_"
SKIPPED = 77


def inclusive_costs(lines):
    """Instructions of every function called PREFIX..., with all that it calls, from a callgrind
    file. In the block of a function each line of cost is its own, or that of a call from it."""
    costs, names, current = {}, {}, None
    for line in lines:
        match = re.match(r"fn=\((\d+)\)(?: (.*))?", line)
        if match:
            number, name = match.groups()
            if name:
                names[number] = name.rstrip("\n")
            current = names.get(number, "")
            continue
        # Names may be given for the first time where a function is only called.
        match = re.match(r"cfn=\((\d+)\) (.*)", line)
        if match:
            names[match.group(1)] = match.group(2).rstrip("\n")
        elif current and current.startswith(PREFIX) and re.match(r"[+*\-\d]\S* \d+$", line):
            name = current[len(PREFIX):]
            costs[name] = costs.get(name, 0) + int(line.split()[1])
    return costs


def count(program):
    """Instructions per operation, by name."""
    with tempfile.TemporaryDirectory(prefix="count-") as folder:
        out = pathlib.Path(folder, "callgrind.out")
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
             f"--toggle-collect={PREFIX}*", program],
            # What the loader finds in the environment may move things, and code with it.
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"count.py: {program} failed under callgrind:\n{run.stderr[-2000:]}")
        with out.open() as lines:
            costs = inclusive_costs(lines)
    operations = dict(line.split() for line in run.stdout.splitlines())
    if set(costs) != set(operations):
        sys.exit(f"count.py: counted {sorted(costs)}, but was told of {sorted(operations)}")
    return {name: round(costs[name] / int(n), 1) for name, n in operations.items()}


def verdict(now, before):
    if before is None:
        return "new"
    change = now / before - 1
    if change > TOLERANCE:
        return f"{change:+.1%} MORE"
    if change < -TOLERANCE:
        return f"{change:+.1%} less: put it on record (tools/bench count --update)"
    return f"{change:+.1%}"


def compare(counted, recorded):
    """(lines of the table, names of what takes more or is not on record)."""
    lines, bad = [], []
    for name, now in counted.items():
        before = recorded.get(name)
        if before is None or now > before * (1 + TOLERANCE):
            bad.append(name)
        lines.append(f"{name:<16}{now:>9.1f}{before if before is not None else '-':>10}  "
                     f"{verdict(now, before)}")
    bad += sorted(set(recorded) - set(counted))
    return lines, bad


def check(program, update):
    if not shutil.which("valgrind"):
        print("valgrind is not installed (tools/deps)")
        return SKIPPED
    made_with = json.loads(subprocess.check_output([program, "--made-with"]))
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    comparable = record.get("made_with") == made_with
    if not comparable and not update:
        print(f"The record is of {record.get('made_with')}, this build of {made_with}: "
              "they cannot be compared.")
    counted = count(program)
    lines, bad = compare(counted, record.get("instructions", {}) if comparable else {})
    print(f"{'operation':<16}{'counted':>9}{'on record':>10}")
    print("\n".join(lines))
    if update:
        RECORD.write_text(json.dumps({"made_with": made_with, "instructions": counted},
                                     indent=2) + "\n")
        print(f"written to {RECORD}")
        return 0
    if not comparable:
        return SKIPPED
    if bad:
        print(f"more instructions than on record, or no record: {', '.join(bad)}\n"
              "If that is the price of something: tools/bench count --update, and say so.")
    return 1 if bad else 0


SELF_TEST_FILE = """fn=(1) counted_a
10 5
cfn=(2) helper
calls=3 20
+2 300
* 7
fn=(2)
20 300
fn=(3) counted_b
cfn=(1)
calls=1 1
-4 40
fn=(1)
11 1
"""


def self_test():
    assert inclusive_costs(SELF_TEST_FILE.splitlines(True)) == {"a": 313, "b": 40}
    for now, before, good in ((102, 100, True), (103, 100, False), (50, 100, True),
                              (100, None, False)):
        recorded = {} if before is None else {"a": before}
        assert (not compare({"a": now}, recorded)[1]) == good, (now, before)
    assert compare({}, {"a": 1})[1] == ["a"]
    assert "less" in verdict(97, 100) and "less" not in verdict(99, 100)
    print("self-test passed")


def main(words):
    if words == ["--self-test"]:
        self_test()
        return 0
    if len(words) == 2 and words[1] == "--update" or len(words) == 1 and words[0][0] != "-":
        return check(os.path.abspath(words[0]), len(words) == 2)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
