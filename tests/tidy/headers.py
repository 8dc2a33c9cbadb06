#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone.

Usage: headers.py ROOT CACHE COMPILER [FLAG...] -- FOLDER...

A header that needed another header before it would break whoever includes it next. What compiled is
remembered in the file CACHE together with the files it was made of, and compiled again when one of
them has changed.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys


def unchanged(root, made_of):
    try:
        return bool(made_of) and all(os.stat(root / name).st_mtime_ns == when
                                     for name, when in made_of.items())
    except OSError:
        return False


def compile_alone(root, header, compiler, flags):
    """(files it is made of, messages): messages are empty when it compiled."""
    run = subprocess.run(
        [compiler, "-x", "c++", "-std=c++20", "-fsyntax-only", "-D_GNU_SOURCE", "-I.", *flags,
         "-MD", "-MF", "/dev/stdout", "-MT", "it", "-include", header, "/dev/null"],
        cwd=root, capture_output=True, text=True)
    if run.returncode != 0:
        return {}, run.stderr
    names = run.stdout.replace("\\\n", " ").split()[1:]
    return {n: os.stat(root / n).st_mtime_ns for n in names if not n.startswith("/dev/")}, ""


def main():
    args = sys.argv[1:]
    if "--" not in args or args.index("--") < 3:
        print(__doc__)
        return 2
    split = args.index("--")
    root, cache = pathlib.Path(args[0]).resolve(), pathlib.Path(args[1]).resolve()
    compiler, flags, folders = args[2], args[3:split], args[split + 1:]
    known = json.loads(cache.read_text()) if cache.exists() else {}
    headers = sorted(str(p.relative_to(root)) for folder in folders
                     for p in (root / folder).rglob("*.h*") if p.suffix in (".hpp", ".h"))
    stale = [h for h in headers if not unchanged(root, known.get(h))]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(lambda h: (h, *compile_alone(root, h, compiler, flags)), stale)
        for header, made_of, messages in results:
            known[header] = made_of
            if messages:
                failed += 1
                print(f"{header} does not compile alone:\n{messages}")
    cache.write_text(json.dumps(known))
    print(f"{len(headers)} headers, {len(stale)} compiled, {failed} failed")
    return 1 if failed or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
