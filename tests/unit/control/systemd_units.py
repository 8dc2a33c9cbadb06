#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""systemd understands the units, each line of them, and finds the programs that they start.

Usage: systemd_units.py SYSTEMD-ANALYZE MILLRACED MILLRACE UNIT...

The units are looked at with the programs of the build in the place of the installed ones.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

# What the data plane relies on when millraced ends: see "Install as a service" in operations.md.
NEEDED = ["KillMode=process", "Restart=on-failure", "RuntimeDirectoryPreserve=yes",
          "RestartPreventExitStatus=2 4", "AssertPathExists=/etc/millrace/millrace.yaml"]


def complaints(analyze, texts):
    """What systemd says about units, by name; nothing if all is well."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, text in texts.items():
            paths.append(pathlib.Path(folder, name))
            paths[-1].write_text(text)
        run = subprocess.run([analyze, "verify", "--man=no", *paths], capture_output=True,
                             text=True, check=False, env={"SYSTEMD_UNIT_PATH": folder + ":"})
    return run.stdout + run.stderr + (f"exit code {run.returncode}" if run.returncode else "")


def main():
    analyze, millraced, millrace, *units = sys.argv[1:]
    texts = {}
    for unit in map(pathlib.Path, units):
        text = re.sub(r"=\S+/millraced ", f"={pathlib.Path(millraced).resolve()} ",
                      unit.read_text())
        texts[unit.name] = re.sub(r"=\S+/millrace ", f"={pathlib.Path(millrace).resolve()} ", text)
    service = texts["millraced.service"]
    found = complaints(analyze, texts)
    found += "".join(f"{line} is missing\n" for line in NEEDED if line not in service.splitlines())
    # It must also find what is wrong.
    for good, bad in (("KillMode=process", "KillMod=process"), ("Type=exec", "Type=exe"),
                      ("/millraced --config", "/nothing --config")):
        if not complaints(analyze, {**texts, "millraced.service": service.replace(good, bad)}):
            found += f"{bad} was not found\n"
    print(found, end="")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
