#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The code that runs per packet calls nothing that allocates, locks, throws, prints or enters the
kernel.

Usage: symbols.py LIBRARY...     static libraries of hot code
       symbols.py --self-test COMPILER

Reads the undefined symbols of every object with nm and compares them with a list of what is banned.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

BANNED = {
    "memory": r"malloc|calloc|realloc|free|aligned_alloc|posix_memalign|_Zn[wa].*|_Zd[la].*",
    "exceptions": r"__cxa_(throw|rethrow|allocate_exception|begin_catch)|_Unwind_Resume|"
                  r"_ZSt\d+__throw_\w+",
    "virtual calls": r"__cxa_pure_virtual|_ZTV.*|__dynamic_cast",
    "printing": r"(__)?(v?[fsd]?n?printf|vasprintf|asprintf)(_chk)?|"
                r"puts|putchar|fputs|fputc|fwrite|perror|syslog|_ZNSo.*|_ZStls.*",
    "locks": r"pthread_(mutex|rwlock|cond|spin|once|create).*|sem_\w+|"
             r"__cxa_guard_\w+|_ZNSt5mutex.*",
    "system calls": r"read|write|readv|writev|pread(64)?|pwrite(64)?|open(at)?(64)?|close|ioctl|"
                    r"send(to|msg|mmsg)?|recv(from|msg|mmsg)?|poll|epoll_\w+|select|mmap(64)?|"
                    r"munmap|nanosleep|clock_nanosleep|usleep|sleep|clock_gettime|gettimeofday|"
                    r"time|getrandom|getentropy|random|rand|sched_yield|futex|syscall|"
                    r"_ZNSt6chrono.*3nowEv",
}
# MR_CHECK (base/check.hpp) guards invariants of ours once a burst and in cold code: it prints one
# line and ends the process. It is the only way in which hot code may print.
CHECK_ONLY = {"fprintf", "__fprintf_chk", "stderr", "abort"}


def undefined(path):
    """{object: undefined symbols} of a library or an object."""
    out = subprocess.run(["nm", "-u", "-A", "-P", path], check=True, capture_output=True,
                         text=True).stdout
    found = {}
    for line in out.splitlines():
        match = re.match(r"(.*):\s+(\S+)\s+[UwvV]\b", line)
        if match:
            found.setdefault(match.group(1), set()).add(match.group(2).split("@")[0])
    return found


def findings(path):
    for where, symbols in sorted(undefined(path).items()):
        checks = "abort" in symbols
        for symbol in sorted(symbols):
            if checks and symbol in CHECK_ONLY:
                continue
            for kind, pattern in BANNED.items():
                if re.fullmatch(pattern, symbol):
                    yield f"{where}: {symbol}: {kind} in hot code"


SELF_TEST = {
    "int* f() { return new int; }": "memory",
    "#include <cstdlib>\nvoid* f() { return malloc(9); }": "memory",
    "void f(int x) { throw x; }": "exceptions",
    "#include <vector>\nint f(std::vector<int>& v) { return v.at(9); }": "exceptions",
    "#include <cstdio>\nvoid f(int x) { printf(\"%d\", x); }": "printing",
    "#include <cstdio>\nvoid f(int x) { fprintf(stderr, \"%d\", x); }": "printing",
    "#include <mutex>\nvoid f(std::mutex& m) { m.lock(); }": "locks",
    "#include <unistd.h>\nlong f(int x, char* p) { return read(x, p, 9); }": "system calls",
    "#include <ctime>\nvoid f(timespec* t) { clock_gettime(CLOCK_MONOTONIC, t); }": "system calls",
    "#include <sys/socket.h>\nlong f(int x, msghdr* m) { return sendmsg(x, m, 0); }":
        "system calls",
    "#include <chrono>\nauto f() { return std::chrono::steady_clock::now(); }": "system calls",
    "struct S { virtual void v() = 0; S(); };\nS::S() {}": "virtual calls",
    "#include <cstring>\nvoid f(char* a, char* b, long n) { memcpy(a, b, n); }": None,
    "#include <cstdio>\n#include <cstdlib>\n"
    "void f(int x) { if (x) { fprintf(stderr, \"%d\", x); abort(); } }": None,
}


def self_test(compiler):
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (text, expected) in enumerate(SELF_TEST.items()):
            name = pathlib.Path(folder, f"{number}.o")
            subprocess.run([*compiler, "-std=c++20", "-O2", "-x", "c++", "-c", "-o", name, "-"],
                           input=text, text=True, check=True)
            found = list(findings(name))
            good = not found if expected is None else any(expected in f for f in found)
            if not good:
                failed += 1
                print(f"case {number}: expected {expected}, found {found}\n{text}")
    print(f"{len(SELF_TEST)} cases, {failed} failed")
    return 1 if failed else 0


def main():
    args = sys.argv[1:]
    if not args:
        print(__doc__)
        return 2
    if args[0] == "--self-test":
        return self_test(args[1:])
    objects = 0
    found = []
    for library in args:
        objects += len(undefined(library))
        found += findings(library)
    print("\n".join(found))
    print(f"{len(args)} libraries, {objects} objects, {len(found)} findings")
    return 1 if found or objects == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
