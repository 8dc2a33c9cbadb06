#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks one line of the lock-free code at a time and shows which test notices.

Usage: mutate.py [NAME...]     all mutations, or those named: about three minutes
       mutate.py --check       only that each line to break is there, and in docs/testing.md: in
                               the suite
       mutate.py --table       the table of docs/testing.md

Works on a copy of the tree in a temporary directory. A mutation that no test notices, and a test
that fails without one, is a failure; the exit code is 1 then.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

INTERLEAVE = "tests/unit/cache/cache_shard_interleave_test"
SHARD = "tests/unit/cache/cache_test"
RING = "tests/unit/ring/ring_test"
BASE = "tests/unit/base/base_test"
SNAPSHOT = "tests/unit/snapshot/snapshot_test"

INDEX_HPP = "dataplane/cache/index.hpp"
LOOKUP_CPP = "dataplane/cache/lookup.cpp"
EVICTION_HPP = "dataplane/cache/eviction_policy.hpp"
LIMBO_HPP = "dataplane/cache/limbo.hpp"
RING_HPP = "dataplane/ring/spsc_ring.hpp"
QSBR_HPP = "dataplane/base/qsbr.hpp"
BOARD_HPP = "dataplane/snapshot/board.hpp"
COUNTERS_HPP = "dataplane/stats/core_counters.hpp"

# name, file, the text (which occurs once), what it becomes, the program and its test that must fail
MUTATIONS = [
    ("publish-release", INDEX_HPP, "slot(slot_no).store(named, std::memory_order_release);",
     "slot(slot_no).store(named, std::memory_order_relaxed);", INTERLEAVE,
     "ShardModelled/Sieve.WhatIsPublishedIsWhole"),
    ("count-spill-release", INDEX_HPP,
     "slot(slot_no).store((old & ~kSlotSpillsMask) | SlotWord{changed} << kSlotSpillsShift,\n"
     "                        std::memory_order_release);",
     "slot(slot_no).store((old & ~kSlotSpillsMask) | SlotWord{changed} << kSlotSpillsShift,\n"
     "                        std::memory_order_relaxed);", INTERLEAVE,
     "ShardModelled/Sieve.TheWordThatCountsASpillCarriesItsEntry"),
    ("lookup-acquire", LOOKUP_CPP, "slots[slot].load(std::memory_order_acquire);",
     "slots[slot].load(std::memory_order_relaxed);", INTERLEAVE,
     "ShardModelled/Sieve.WhatIsPublishedIsWhole"),
    ("slot-not-checked-again", LOOKUP_CPP,
     "if (slot_is_empty(word)) continue;", "", INTERLEAVE,
     "ShardModelled/Sieve.WhatIsRemovedDoesNotComeBack"),
    ("grace-always-passed", LIMBO_HPP,
     "if (!grace.passed(grace.context, batch.token)) return;", "", INTERLEAVE,
     "ShardModelled/Sieve.RemovedMemoryIsUsedAgainUnderNoReader"),
    ("slot-not-emptied", INDEX_HPP, "slot(slot_no).store(old & kSlotSpillsMask,",
     "slot(slot_no).store(old,", INTERLEAVE,
     "ShardModelled/Sieve.WhatIsRemovedDoesNotComeBack"),
    ("spill-not-counted", INDEX_HPP,
     "if (second && slot_is_empty(old)) count_spill(place.bucket_idx, +1);", "", INTERLEAVE,
     "ShardModelled/Sieve.ASpillHidesNobody"),
    ("spills-lost-by-replace", INDEX_HPP, "lines, second, slot_spills(old));",
     "lines, second, 0);", INTERLEAVE,
     "ShardModelled/Sieve.TheCountOutlivesTheEntryInSlotZero"),
    ("spills-lost-by-remove", INDEX_HPP, "slot(slot_no).store(old & kSlotSpillsMask,",
     "slot(slot_no).store(0,", INTERLEAVE,
     "ShardModelled/Sieve.TheCountOutlivesTheEntryInSlotZero"),
    ("mark-not-honoured", EVICTION_HPP,
     "visited.store(0, std::memory_order_relaxed);\n  return true;",
     "visited.store(0, std::memory_order_relaxed);\n  return false;", INTERLEAVE,
     "ShardModelled/S3Fifo.EvictionByThePolicyBesideAReaderThatMarks"),
    ("lifetime-not-checked", LOOKUP_CPP,
     "if (lookup.entry == nullptr || !is_fresh(*lookup.entry, now_ms)) {",
     "if (lookup.entry == nullptr) {", SHARD,
     "ShardTest/Sieve.NothingIsFoundPastItsLifetime"),
    ("key-not-compared", LOOKUP_CPP,
     "if (lookup.entry != nullptr && !entry_has_key(*lookup.entry, *lookup.key)) [[unlikely]] {",
     "if (false) {", SHARD,
     "ShardTest/Sieve.A4_B48_AConstantHashCostsMissesNeverAWrongAnswer"),
    ("ring-mark-release", RING_HPP, "| mark_of(index), std::memory_order_release);",
     "| mark_of(index), std::memory_order_relaxed);", RING,
     "SpscRingModel.TwoSlotsUnderEverySchedule"),
    ("ring-mark-acquire", RING_HPP, "last = slot.last.load(std::memory_order_acquire);",
     "last = slot.last.load(std::memory_order_relaxed);", RING,
     "SpscRingModel.TwoSlotsUnderEverySchedule"),
    ("ring-head-release", RING_HPP, "head_.store(first + cnt, std::memory_order_release);",
     "head_.store(first + cnt, std::memory_order_relaxed);", RING,
     "SpscRingModel.TwoSlotsUnderEverySchedule"),
    ("ring-head-acquire", RING_HPP, "cached_head_ = head_.load(std::memory_order_acquire);",
     "cached_head_ = head_.load(std::memory_order_relaxed);", RING,
     "SpscRingModel.TwoSlotsUnderEverySchedule"),
    ("ring-one-slot-too-many", RING_HPP, "if (index - cached_head_ == kSlots && free_slots() == 0)",
     "if (index - cached_head_ == kSlots + 1 && free_slots() == 0)", RING,
     "SpscRing.EverySequenceOfNineCallsOnTwoSlots"),
    ("qsbr-seen-release", QSBR_HPP, "seen_[reader].value.store(now, std::memory_order_release);",
     "seen_[reader].value.store(now, std::memory_order_relaxed);", BASE,
     "QsbrModel.NothingIsReclaimedUnderAReader"),
    ("qsbr-offline-release", QSBR_HPP,
     "seen_[reader].value.store(kOffline, std::memory_order_release);",
     "seen_[reader].value.store(kOffline, std::memory_order_relaxed);", BASE,
     "QsbrModel.NothingIsReclaimedUnderAReaderThatWakes"),
    ("qsbr-seen-acquire", QSBR_HPP, "seen_[reader].value.load(std::memory_order_acquire);",
     "seen_[reader].value.load(std::memory_order_relaxed);", BASE,
     "QsbrModel.NothingIsReclaimedUnderAReader"),
    ("qsbr-clock-acquire", QSBR_HPP, "now = clock_.value.load(std::memory_order_acquire);",
     "now = clock_.value.load(std::memory_order_relaxed);", BASE,
     "QsbrModel.NothingIsReclaimedUnderAReader"),
    ("qsbr-online-order", QSBR_HPP, "clock_.value.fetch_add(0, std::memory_order_acq_rel);",
     "clock_.value.fetch_add(0, std::memory_order_relaxed);", BASE,
     "QsbrModel.NothingIsReclaimedUnderAReaderThatWakes"),
    ("qsbr-start-order", QSBR_HPP, "clock_.value.fetch_add(1, std::memory_order_acq_rel) + 1;",
     "clock_.value.fetch_add(1, std::memory_order_relaxed) + 1;", BASE,
     "QsbrModel.NothingIsReclaimedUnderAReader"),
    ("qsbr-token-of-before", QSBR_HPP, "seen < token) return reader;",
     "seen + 1 < token) return reader;", BASE,
     "Qsbr.AReportFromBeforeTheTokenDoesNotCount"),
    ("board-publish-release", BOARD_HPP, "current_.exchange(next, std::memory_order_acq_rel);",
     "current_.exchange(next, std::memory_order_acquire);", SNAPSHOT,
     "SnapshotBoardModel.ReadersAlwaysSeeALiveWholeImage"),
    ("board-load-acquire", BOARD_HPP, "current_.load(std::memory_order_acquire);",
     "current_.load(std::memory_order_relaxed);", SNAPSHOT,
     "SnapshotBoardModel.ReadersAlwaysSeeALiveWholeImage"),
    ("stats-sequence-release", COUNTERS_HPP, "page.sequence.store(before + 2, release);",
     "page.sequence.store(before + 2, std::memory_order_relaxed);", SNAPSHOT,
     "StatsPageModel.WhatIsAcceptedIsOnePublication"),
]


def check(names):
    """The mutations asked for; ends the program when a line has gone."""
    chosen = [m for m in MUTATIONS if not names or m[0] in names]
    unknown = set(names) - {m[0] for m in MUTATIONS}
    lost = [m[0] for m in chosen if (ROOT / m[1]).read_text().count(m[2]) != 1]
    for name in sorted(unknown):
        print(f"{name}: no such mutation")
    for name in lost:
        print(f"{name}: the line is no longer there, or there more than once")
    if unknown or lost:
        sys.exit(1)
    return chosen


def cell(text):
    return "`" + " ".join(text.split()).replace("|", "\\|") + "`" if text else "nothing"


def rows():
    """The table of docs/testing.md."""
    for name, path, old, new, _, case in MUTATIONS:
        yield f"| {name} | {cell(path)} | {cell(old)} | {cell(new)} | {cell(case)} |"


def copy_tree(to):
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"],
                            capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def build(tree, tests):
    return subprocess.run(["ninja", "-C", tree / "build", *tests], capture_output=True, text=True,
                          check=False)


def passes(tree, test, case):
    try:
        done = subprocess.run([tree / "build" / test, f"--gtest_filter={case}"],
                              capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return False
    if "Running 1 test from" not in done.stdout:
        sys.exit(f"{test} has no test {case}")
    return done.returncode == 0


def caught(tree, mutation):
    name, path, old, new, test, case = mutation
    text = (tree / path).read_text()
    (tree / path).write_text(text.replace(old, new))
    try:
        built = build(tree, [test])
        if built.returncode != 0:
            print(built.stdout[-2000:])
            sys.exit(f"{name}: does not compile, which proves nothing")
        return not passes(tree, test, case)
    finally:
        (tree / path).write_text(text)


def main():
    names = sys.argv[1:]
    if names == ["--table"]:
        print("\n".join(rows()))
        return 0
    chosen = check([] if names == ["--check"] else names)
    if names == ["--check"]:
        told = (ROOT / "docs/testing.md").read_text().splitlines()
        lost = [row for row in rows() if row not in told]
        print("\n".join(["docs/testing.md lacks:"] + lost) if lost else "all lines are there")
        return 1 if lost else 0
    missed = 0
    with tempfile.TemporaryDirectory(prefix="millrace-mutation-") as folder:
        tree = pathlib.Path(folder)
        copy_tree(tree)
        subprocess.run(["meson", "setup", tree / "build", tree, "-Dappliance=false"], check=True,
                       capture_output=True)
        tests = sorted({m[4] for m in chosen})
        if build(tree, tests).returncode != 0:
            sys.exit("the tree does not build")
        for _, _, _, _, test, case in chosen:
            if not passes(tree, test, case):
                sys.exit(f"{case} of {test} fails without a mutation")
        for mutation in chosen:
            noticed = caught(tree, mutation)
            missed += not noticed
            print(f"{mutation[0]}: {'caught by' if noticed else 'NOT CAUGHT by'} {mutation[5]}",
                  flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
