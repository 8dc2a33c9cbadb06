#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/performance.md from what `tools/bench micro --json FILE` and `tools/bench path` say.

Usage: report.py ROOT FILE...   later files replace rows of earlier ones
       report.py --self-test    shows the report of a made-up run to itself

Remarks, written by hand, stand in tests/bench/remarks.md: what follows a heading `## R21` there is
put behind the table of R21. A remark on rows that were not measured is an error.
"""

import json
import pathlib
import sys

HEAD = """\
# Performance

<!-- Written by `tools/bench report`; edit tests/bench/remarks.md instead. -->

Every figure here is a ratio of two things measured in one run on one machine, or a count: absolute
speeds of a shared virtual machine mean nothing. Each table can be measured again with the command
under it.

Both sides of a ratio run in one process, pinned, in the order A B B A. A pair of them is refused
when the hypervisor took more than 0.5 % of the time, when one side's two measurements differ by
more than 5 %, or when the hypervisor had moved both CPUs onto one core. The value is the median of
the paired ratios, in brackets its bootstrap interval of 95 %. A target is met when the whole
interval meets it. Every value that is read is compared with what was inserted; a wrong one ends the
run.
"""


def verdict_of(value, floor, aim, at_least):
    better = (lambda a, b: a >= b) if at_least else (lambda a, b: a <= b)
    return "aim met" if better(value, aim) else "floor met" if better(value, floor) else "NOT MET"


def rows_of_path(details):
    """What `tools/bench path` found, as rows like those of micro."""
    for found in details:
        kind = found["id"].split()[1]
        ticks = found["ticks_per_packet"]
        marginal = ticks["marginal"]
        common = {"command": "tools/bench path"}
        yield common | {
            "id": f"R1.{kind}", "what": found["name"], "unit": "ratio", "bound": "at least",
            "floor": found["floor"], "aim": found["aim"], "value": found["ratio"],
            "low": found["low"], "high": found["high"], "pairs": found["pairs"],
            "above_ticks": ticks["worker"]["median"], "below_ticks": ticks["testpmd"]["median"],
            "refused_moved": 0, "refused_steal": 0, "refused_spread": found["rejected_pairs"],
            "verdict": (found["undecided"] and "undecided") or
                       verdict_of(found["low"], found["floor"], found["aim"], True)}
        yield common | {
            "id": f"R1.{kind}.marginal", "unit": "ticks", "bound": "at most",
            "what": f"of a hit beyond the port's own, {found['title']}",
            "floor": found["ticks_max"], "aim": found["ticks_aim"], "value": marginal["median"],
            "low": marginal["low"], "high": marginal["high"],
            "verdict": (found["undecided"] and "undecided") or
                       verdict_of(marginal["high"], found["ticks_max"], found["ticks_aim"], False)}


def load(paths):
    """One report out of several files."""
    merged = {"machine": {}, "rows": {}}
    speeds = []
    for path in paths:
        report = json.loads(pathlib.Path(path).read_text())
        if "details" in report:
            rows = rows_of_path(report["details"])
            merged["rows"].update({row["id"]: row for row in rows})
            continue
        merged["machine"].update(report["machine"])
        speeds.append(f"{report['speed_beside']:.2f}")
        for row in report["rows"]:
            row["command"] = (f"tools/bench micro --only {target_of(row['id'])} "
                              f"--slice-ms {report['slice_ms']:g}")
            merged["rows"][row["id"]] = row
    if speeds:
        merged["machine"]["speed of one CPU beside the other"] = (
            speeds[0] if min(speeds) == max(speeds) else f"{min(speeds)} to {max(speeds)}")
    return merged


def remarks_of(text):
    """{target: remark} of the side file."""
    remarks, name = {}, None
    for line in text.splitlines():
        if line.startswith("## "):
            name = line[3:].strip()
            remarks[name] = []
        elif name is not None:
            remarks[name].append(line)
    return {name: "\n".join(lines).strip() for name, lines in remarks.items()}


def target_of(row_id):
    return row_id.split(".")[0]


def order_of(target):
    """A-against-A first, then by number."""
    return (0, target) if target == "AA" else (1, f"{int(target[1:]):03d}")


def cells_of(row):
    if row["unit"] == "ratio":
        value = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        ticks = f"{row['above_ticks']:.1f} / {row['below_ticks']:.1f}"
        refused = row["refused_moved"] + row["refused_steal"] + row["refused_spread"]
        pairs = f"{row['pairs']}, {refused} refused"
    else:
        measured_once = row["low"] == row["high"]
        interval = "" if measured_once else f" [{row['low']:.0f}, {row['high']:.0f}]"
        value, ticks, pairs = f"{row['value']:.2f}{interval} {row['unit']}", "", ""
    bounds = {"at least": ">=", "at most": "<="}
    bound = bounds.get(row["bound"])
    target = f"{bound} {row['floor']:g} / {row['aim']:g}" if bound else ""
    return [row["id"], row["what"], value, target, row["verdict"], ticks, pairs]


TITLES = ["row", "what", "value", "floor / aim", "verdict", "ticks", "pairs"]


def table(rows):
    lines = ["| " + " | ".join(TITLES) + " |", "|" + "---|" * len(TITLES)]
    lines += ["| " + " | ".join(cells_of(row)) + " |" for row in rows]
    return "\n".join(lines)


def render(report, remarks):
    groups = {}
    for row in report["rows"].values():
        groups.setdefault(target_of(row["id"]), []).append(row)
    unknown = sorted(set(remarks) - set(groups))
    if unknown:
        raise SystemExit(f"report: remarks on rows that were not measured: {', '.join(unknown)}")
    parts = [HEAD, "## The machine\n\n| | |\n|---|---|"]
    parts += [f"| {name} | {value} |" for name, value in report["machine"].items()]
    for target in sorted(groups, key=order_of):
        rows = groups[target]
        title = "A against A" if target == "AA" else target
        parts.append(f"\n## {title}\n\n{table(rows)}\n")
        parts.append(", ".join(f"`{command}`" for command in sorted({r["command"] for r in rows})))
        if target in remarks:
            parts.append("\n" + remarks[target])
    return "\n".join(parts) + "\n"


def self_test():
    row = {"id": "R21.n1", "what": "w", "unit": "ratio", "bound": "at least", "floor": 3, "aim": 5,
           "value": 4, "low": 3.5, "high": 4.5, "above_ticks": 40, "below_ticks": 10, "pairs": 15,
           "refused_moved": 1, "refused_steal": 2, "refused_spread": 3, "verdict": "floor met",
           "command": "tools/bench micro --only R21 --slice-ms 20"}
    report = {"machine": {"CPU": "c"}, "rows": {"R21.n1": row}}
    text = render(report, remarks_of("# x\n\n## R21\n\nBecause.\n"))
    wanted = ["| R21.n1 | w | 4.00 [3.50, 4.50] | >= 3 / 5 | floor met | 40.0 / 10.0 | "
              "15, 6 refused |", "Because.", "--only R21 ", "| CPU | c |"]
    missing = [part for part in wanted if part not in text]
    try:
        render(report, {"R99": "nothing"})
        missing.append("an error for a remark on nothing")
    except SystemExit:
        pass
    for part in missing:
        print(f"missing: {part}")
    return 1 if missing else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) < 2:
        print(__doc__)
        return 2
    root = pathlib.Path(arguments[0])
    remarks = remarks_of((root / "tests/bench/remarks.md").read_text())
    (root / "docs/performance.md").write_text(render(load(arguments[1:]), remarks))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
