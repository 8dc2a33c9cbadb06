#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""R1: packets per second of a worker that answers hits, as a share of what dpdk-testpmd reaches
when it only swaps the addresses of the same packets. Both play the same capture from memory
(net_pcap with infinite_rx=1) and drop what they send, on the same CPU, in turns.

The two programs stand ready all the time, and one of them runs: testpmd, worker, worker, testpmd,
and so on. Each such four give two ratios; their median is shown with its 95 % interval (bootstrap).
A four is rejected when the host took more than 0.5 % of the CPU meanwhile, or when a program
differs by more than 5 % from itself. Whether a bound is met is undecided when too few fours are
left, or when either program against itself (its second run in a four / its first) is shown to be
off 1.00 by more than 0.01. In the middle of the four, parts of the path are timed alone.
"""

import argparse
import contextlib
import json
import os
import pathlib
import pty
import random
import re
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", "build"))
SPARE_FRAMES = 8192          # as in path_port.cpp; the port keeps the capture in buffers, too
FRAME_BYTES = 2368           # buffer, its header and the pool's
HUGEPAGE_BYTES = 2 << 20
STEAL_MAX = 0.005
SELF_DIFFERENCE_MAX = 0.05
ITSELF_OFF_MAX = 0.01
FOURS_WANTED = 8             # 16 pairs
FOURS_MIN = 3                # with fewer good ones nothing is decided; all are shown, as a hint
BUDGET_S, QUICK_BUDGET_S = 180, 50
SLICE_S, QUICK_SLICE_S = 1.0, 0.3
WORKLOADS = {
    "hot": {"title": "1 k names", "options": ["--names", "1000"],
            "floor": 0.42, "aim": 0.55, "ticks_max": 140, "ticks_aim": 100},
    "zipf": {"title": "200 k names, Zipf 1.0", "options": ["--names", "200000", "--zipf"],
             "floor": 0.35, "aim": 0.45, "ticks_max": 190, "ticks_aim": 140},
}


class Failed(Exception):
    """What went wrong, for a person."""


@contextlib.contextmanager
def hugepages(wanted):
    """Reserves as many more 2 MiB pages; says whether it got them; gives them back."""
    at = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
    number = at / "nr_hugepages"
    try:
        before = int(number.read_text())
        number.write_text(str(before + wanted))
    except OSError:
        yield False
        return
    try:
        if int((at / "free_hugepages").read_text()) >= wanted:
            yield True
        else:
            number.write_text(str(before))
            yield False
    finally:
        number.write_text(str(before))


class Program:
    """A child that takes commands; it ends when its input does."""

    def __init__(self, command):
        self.command = command
        # A terminal of its own, so that it does not keep its lines back.
        self.screen, terminal = pty.openpty()
        try:
            self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=terminal,
                                          stderr=subprocess.STDOUT, start_new_session=True)
        finally:
            os.close(terminal)
        self.text = ""

    def tell(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def wait_for(self, pattern, seconds=30):
        """The match of the pattern in what the program says next."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.text)
            if match:
                self.text = self.text[match.end():]
                return match
            ready, _, _ = select.select([self.screen], [], [], max(0, end - time.monotonic()))
            try:
                said = os.read(self.screen, 65536) if ready else b""
            except OSError:  # its last process has closed the terminal
                said = b""
            if not said:
                raise Failed(f"{shlex.join(self.command)}\n{self.text[-2000:]}\n"
                             f"did not say /{pattern}/")
            self.text += said.decode("utf-8", "replace").replace("\r", "")

    def close(self):
        with contextlib.suppress(OSError):
            self.child.stdin.close()
        for end in (lambda: None, self.child.terminate, self.child.kill):
            end()
            # Someone must read, or it hangs in writing its last words.
            deadline = time.monotonic() + 3
            while self.child.poll() is None and time.monotonic() < deadline:
                if select.select([self.screen], [], [], 0.05)[0]:
                    with contextlib.suppress(OSError):
                        os.read(self.screen, 65536)
            if self.child.poll() is not None:
                break
        os.close(self.screen)


class Testpmd(Program):
    def __init__(self, capture, core, huge, frames):
        other = 0 if core else 1
        memory = (["--in-memory"] if huge else
                  ["--no-huge", "--no-shconf", f"-m{frames * FRAME_BYTES * 5 // 2 // 2**20 + 128}"])
        super().__init__([
            "dpdk-testpmd", f"--lcores=0@{other},1@{core}", "--main-lcore=0",
            "--file-prefix=millrace-peer", *memory, "--iova-mode=va", "--no-telemetry", "--no-pci",
            f"--vdev=net_pcap0,rx_pcap={capture},infinite_rx=1", "--log-level=lib.eal:error",
            "--", "-i", "--forward-mode=5tswap", "--nb-cores=1", "--rxq=1", "--txq=1", "--rxd=2048",
            "--txd=2048", "--burst=32", "--mbcache=256", f"--total-num-mbufs={frames}",
            "--port-topology=loop", "--no-flush-rx"])
        self.wait_for("testpmd> ")

    def run(self, seconds):
        """Packets per second, by its own clock, between two looks at its own counters."""
        self.order("start", "packet forwarding")
        time.sleep(0.06)
        self.order("show port stats 0", "Rx-pps:")
        time.sleep(seconds)
        rate = int(self.order("show port stats 0", r"Rx-pps:\s+(\d+)").group(1))
        self.order("stop", r"Done\.")
        return rate

    def bursts(self):
        """The sizes of the bursts that it receives, in a run that is not measured."""
        self.order("set record-burst-stats on", "")
        self.order("start", "packet forwarding")
        time.sleep(0.1)
        said = self.order("stop", r"RX-bursts : \d+ \[(.*)\][\s\S]*?Done\.").group(1)
        self.order("set record-burst-stats off", "")
        return said

    def order(self, line, answer):
        self.tell(line)
        return self.wait_for(answer + r"[\s\S]*?testpmd> ")


class Worker(Program):
    def __init__(self, capture, core, huge, options):
        super().__init__([str(BUILD / "tests/bench/path-port"), *options, "--core", str(core),
                          *(["--hugepages"] if huge else []), "--play", capture])
        self.wait_for('"ready": true.*\n')

    def run(self, loop, seconds):
        self.tell(f"{loop} {int(seconds * 1000)}")
        said = json.loads(self.wait_for(r"\{.*\}\n").group(0))
        said["rate"] = said["packets"] * said["tsc_hz"] / said["ticks"]
        said["ticks_per_packet"] = said["ticks"] / said["packets"]
        if said["step_packets"]:
            said["ticks_per_packet"] = said["step_ticks"] / said["step_packets"]
        if said["rx"] != said["hits"] or said["rx"] != said["tx"]:
            raise Failed(f"not every packet was answered from the cache: {said}")
        if said["wrong"]:
            raise Failed(f"{said['wrong']} of {said['samples']} sampled replies are wrong")
        return said


def cpu_times(core):
    """(steal, all) of one CPU, in clock ticks."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{core}":
            values = [int(f) for f in fields[1:9]]
            return values[7], sum(values)
    raise Failed(f"no CPU {core}")


def interval(values, draws=2000):
    """(median, low, high): 95 % by bootstrap."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(values, k=len(values)))
                     for _ in range(draws))
    return (statistics.median(values), medians[int(draws * 0.025)], medians[int(draws * 0.975)])


def differ(a, b):
    return abs(a - b) / max(a, b) > SELF_DIFFERENCE_MAX


def measure_four(testpmd, worker, core, seconds):
    """One four, and the parts in its middle."""
    steal, total = cpu_times(core)
    first_peer = testpmd.run(seconds)
    first = worker.run("worker", seconds)
    parts = {loop: worker.run(loop, seconds / 3)["ticks_per_packet"]
             for loop in ("forward", "swap", "step", "single")}
    second = worker.run("worker", seconds)
    second_peer = testpmd.run(seconds)
    steal_after, total_after = cpu_times(core)
    ours = statistics.mean((first["ticks_per_packet"], second["ticks_per_packet"]))
    runs = (first, second)
    return {
        "ratios": [first["rate"] / first_peer, second["rate"] / second_peer],
        "self": [second["rate"] / first["rate"], second_peer / first_peer],
        "worker": ours,
        "testpmd": first["tsc_hz"] / statistics.mean((first_peer, second_peer)),
        "marginal": ours - parts["forward"],
        "burst": parts["single"] / parts["step"],
        **parts,
        "samples": sum(r["samples"] for r in runs),
        "partial_bursts": sum(32 * r["steps"] - r["rx"] for r in runs),
        "stolen": (steal_after - steal) / max(1, total_after - total),
        "rejected": ((steal_after - steal) / max(1, total_after - total) > STEAL_MAX or
                     differ(first["rate"], second["rate"]) or differ(first_peer, second_peer)),
    }


def measure(name, args, huge, folder, end):
    """One workload; `end`: when it must be done."""
    work = WORKLOADS[name]
    options = [*work["options"], "--packets", str(args.packets), "--edns", str(args.edns),
               *(["--v6"] if args.v6 else []), *(["--no-checksum"] if args.no_checksum else [])]
    capture = str(folder / f"{name}.pcap")
    made = subprocess.run([str(BUILD / "tests/bench/path-port"), *options, "--capture", capture],
                          check=True, capture_output=True, text=True)
    distinct = json.loads(made.stdout)["distinct_names"]
    seconds = QUICK_SLICE_S if args.quick else SLICE_S
    with contextlib.ExitStack() as stack:
        testpmd = Testpmd(capture, args.core, huge, args.packets + SPARE_FRAMES)
        stack.callback(testpmd.close)
        worker = Worker(capture, args.core, huge, options)
        stack.callback(worker.close)
        bursts = testpmd.bursts()
        if "100% of 32 pkts" not in bursts:
            raise Failed(f"testpmd has to wait for packets, its bursts are: {bursts}")
        fours, took = [], 0
        while not fours or (sum(not f["rejected"] for f in fours) < FOURS_WANTED and
                            time.monotonic() + took < end):
            start = time.monotonic()
            fours.append(measure_four(testpmd, worker, args.core, seconds))
            took = time.monotonic() - start
        commands = [shlex.join(testpmd.command), shlex.join(worker.command)]
    os.unlink(capture)
    return summary(name, work, fours, distinct, commands)


def off_itself(found):
    return found["low"] > 1 + ITSELF_OFF_MAX or found["high"] < 1 - ITSELF_OFF_MAX


def summary(name, work, fours, distinct, commands):
    taken = [f for f in fours if not f["rejected"]]
    rejected = len(fours) - len(taken)
    undecided = ""
    if len(taken) < FOURS_MIN:
        undecided = f"{rejected} of {len(fours)} fours rejected; these are all of them"
        taken = fours
    itself = {program: dict(zip(("median", "low", "high"), interval([f["self"][i] for f in taken])))
              for i, program in enumerate(("worker", "testpmd"))}
    if not undecided and any(off_itself(s) for s in itself.values()):
        undecided = "a program differs from itself"
    ratio, low, high = interval([r for four in taken for r in four["ratios"]])
    ticks = {}
    for part in ("worker", "testpmd", "forward", "swap", "step", "marginal"):
        ticks[part] = dict(zip(("median", "low", "high"), interval([f[part] for f in taken])))
    burst = dict(zip(("ratio", "low", "high"), interval([f["burst"] for f in taken])))
    return {
        "id": f"R1 {name}", "title": work["title"],
        "name": f"worker / testpmd 5tswap, {work['title']}",
        "ratio": ratio, "low": low, "high": high, "floor": work["floor"], "aim": work["aim"],
        "pairs": 2 * len(taken), "rejected_pairs": 2 * rejected, "undecided": undecided,
        "stolen": max(f["stolen"] for f in fours),
        "self": itself,
        "ticks_per_packet": ticks, "ticks_max": work["ticks_max"], "ticks_aim": work["ticks_aim"],
        "R13": burst, "distinct_names": distinct,
        "samples_compared": sum(f["samples"] for f in taken),
        "partial_bursts": sum(f["partial_bursts"] for f in taken), "commands": commands,
    }


def flat(results):
    """One entry for each target, as the other benchmarks write them."""
    entries = []
    for result in results:
        kind = result["id"].split()[1]
        ticks = result["ticks_per_packet"]["marginal"]
        entries += [
            {k: result[k] for k in ("id", "name", "ratio", "low", "high", "floor", "aim")},
            {"id": f"R1 ticks {kind}", "name": f"marginal ticks per packet, {result['title']}",
             "ratio": ticks["median"], "low": ticks["low"], "high": ticks["high"],
             "floor": result["ticks_max"], "aim": result["ticks_aim"], "lower_is_better": True},
            {"id": f"R13 {kind}", "name": f"step of 1 / share of a step of 32, {result['title']}",
             **result["R13"]}]
    return entries


def show(result):
    ticks = {k: v["median"] for k, v in result["ticks_per_packet"].items()}
    print(f"\n{result['name']} ({result['distinct_names']} of the names are asked for)")
    for part, text in (("forward", "receive and send: the port's own cost"),
                       ("swap", "the same, addresses swapped by a loop of ours"),
                       ("testpmd", "dpdk-testpmd 5tswap"),
                       ("worker", "LcoreLoop::run(): the appliance"),
                       ("step", "of these in Worker::step")):
        print(f"  {ticks[part]:7.0f} ticks per packet  {text}")
    single = result["R13"]
    print(f"  R13: a step of one packet costs {single['ratio']:.2f} [{single['low']:.2f}, "
          f"{single['high']:.2f}] times a packet's share of a step of 32")
    print(f"  {result['pairs']} pairs, {result['rejected_pairs']} rejected")
    for program, found in result["self"].items():
        print(f"  A against A, {program}: {found['median']:.3f} [{found['low']:.3f}, "
              f"{found['high']:.3f}], {'OFF' if off_itself(found) else 'ok'}")
    if result["undecided"]:
        print(f"  UNDECIDED: {result['undecided']}; the host took up to {result['stolen']:.1%} of "
              f"the CPU")
    print(f"  {result['samples_compared']} replies compared octet for octet, all right; "
          f"bursts that were not full: {result['partial_bursts']}")


def verdict(result, value, floor, aim, higher_is_better):
    if result["undecided"]:
        return "undecided"
    if not higher_is_better:
        value, floor, aim = -value, -floor, -aim
    return "aim met" if value >= aim else "floor met" if value >= floor else "floor MISSED"


def show_verdict(result):
    """The last lines: R1. A bound is met when the worse end of the interval meets it."""
    ticks = result["ticks_per_packet"]["marginal"]
    print(f"{result['id']}: {result['ratio']:.3f} [{result['low']:.3f}, {result['high']:.3f}] of "
          f"testpmd 5tswap, floor {result['floor']}, aim {result['aim']}: "
          f"{verdict(result, result['low'], result['floor'], result['aim'], True)}; "
          f"{ticks['median']:.0f} [{ticks['low']:.0f}, {ticks['high']:.0f}] marginal ticks per "
          f"packet, floor {result['ticks_max']}, aim {result['ticks_aim']}: "
          f"{verdict(result, ticks['high'], result['ticks_max'], result['ticks_aim'], False)}")


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench path", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="within 60 s: shorter slices, fewer tries")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload instead of all")
    parser.add_argument("--v6", action="store_true", help="IPv6 instead of IPv4")
    parser.add_argument("--no-checksum", action="store_true",
                        help="IPv4 queries with UDP checksum 0")
    parser.add_argument("--edns", type=int, default=50, help="per cent of queries with EDNS (50)")
    parser.add_argument("--packets", type=int, default=250_000,
                        help="in the capture (250000); a small one stays in the CPU's caches, so "
                             "that the port costs less, and its branches may be learned")
    parser.add_argument("--no-huge", action="store_true", help="ordinary pages for both programs")
    parser.add_argument("--core", type=int, default=(os.cpu_count() or 1) - 1,
                        help="the CPU that is measured (the last)")
    return parser.parse_args()


def stop(*_):
    raise KeyboardInterrupt


def run(args):
    if (os.cpu_count() or 1) < 2:
        raise Failed("needs two CPUs: one is measured, the other gives the commands")
    if not shutil.which("dpdk-testpmd"):
        raise Failed("'dpdk-testpmd' is not installed. Run tools/deps first.")
    frames = args.packets + SPARE_FRAMES
    pages = 2 * (frames * FRAME_BYTES // HUGEPAGE_BYTES + 48) + 64
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        huge = not args.no_huge and stack.enter_context(hugepages(pages))
        print(f"{'2 MiB' if huge else '4 KiB'} pages for both; CPU {args.core}; IPv"
              f"{6 if args.v6 else 4}, UDP checksum "
              f"{'0' if args.no_checksum and not args.v6 else 'computed'}, {args.edns} % with "
              f"EDNS; {args.packets} packets", flush=True)
        results = []
        names = [args.only] if args.only else list(WORKLOADS)
        end = time.monotonic() + (QUICK_BUDGET_S if args.quick else BUDGET_S)
        for done, name in enumerate(names):
            now = time.monotonic()
            share = (end - now) / (len(names) - done)
            results.append(measure(name, args, huge, folder, now + share))
            show(results[-1])
    out = BUILD / "bench-path.json"
    out.write_text(json.dumps({"pages": "2 MiB" if huge else "4 KiB", "results": flat(results),
                               "details": results}, indent=1) + "\n")
    print(f"\n{results[0]['commands'][0]}\nwritten to {out}")
    for result in results:
        show_verdict(result)


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    try:
        run(args)
    except Failed as failed:
        print(f"bench path: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench path: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
