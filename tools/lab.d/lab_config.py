# SPDX-License-Identifier: Apache-2.0
"""What tools/lab needs to know about a config.

    lab_config.py workers FILE N     prints FILE with dataplane.workers set to N
    lab_config.py hugepages FILE     prints how many 2 MiB pages the appliance will take

The text is edited, not written anew, so that comments and line numbers stay.
"""

import re
import sys

import yaml

PAGE_BYTES = 2 << 20
UNITS = {
    "": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
}
# What model.hpp says where the file says nothing.
CACHE_BYTES_DEFAULT = 64 << 20
BUFFERS_DEFAULT = 16384
# A packet buffer: 2 KiB of data with headroom, the buffer's own header and the pool's.
BUFFER_BYTES = 2560
# DPDK's heap, ring memory and the rounding of each shard up to whole pages.
EAL_PAGES = 48


def set_workers(text: str, workers: int) -> str:
    """The text with `workers: N` in its dataplane section; adds what is missing."""
    lines = text.splitlines()
    section = next(
        (i for i, line in enumerate(lines) if re.match(r"dataplane:\s*(#.*)?$", line)), None
    )
    if section is None:
        return text.rstrip("\n") + f"\ndataplane:\n  workers: {workers}\n"
    for i in range(section + 1, len(lines)):
        if re.match(r"[^\s#]", lines[i]):
            break
        found = re.match(r"(\s+workers:\s*)\d+(.*)$", lines[i])
        if found:
            lines[i] = f"{found[1]}{workers}{found[2]}"
            return "\n".join(lines) + "\n"
    lines.insert(section + 1, f"  workers: {workers}")
    return "\n".join(lines) + "\n"


def size_bytes(value) -> int:
    """64MiB, 64 MiB, 1048576."""
    number, unit = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", str(value)).groups()
    return int(number) * UNITS[unit]


def hugepages(text: str) -> int:
    config = yaml.safe_load(text) or {}
    dataplane = config.get("dataplane") or {}
    if dataplane.get("hugepages") is False:
        return 0
    caches = config.get("packet_caches") or [{}]
    cache = sum(size_bytes(c.get("size", CACHE_BYTES_DEFAULT)) for c in caches)
    buffers = int(dataplane.get("buffers_per_worker", BUFFERS_DEFAULT)) * BUFFER_BYTES
    workers = int(dataplane.get("workers", 1))
    return -(-cache // PAGE_BYTES) + workers * -(-buffers // PAGE_BYTES) + EAL_PAGES


def main(arguments) -> int:
    if len(arguments) == 3 and arguments[0] == "workers":
        with open(arguments[1], encoding="utf-8") as file:
            sys.stdout.write(set_workers(file.read(), int(arguments[2])))
        return 0
    if len(arguments) == 2 and arguments[0] == "hugepages":
        with open(arguments[1], encoding="utf-8") as file:
            print(hugepages(file.read()))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
