# SPDX-License-Identifier: Apache-2.0
"""Brings the lab up as a module wants it, and takes it down at the end.

A module says what it needs in LAB, the arguments of `tools/lab up`; the lab is changed only between
modules that want different things. After each test the statistics must add up.
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import appliance  # noqa: E402


@pytest.fixture(scope="session")
def lab_session():
    appliance.lab("down", check=False)
    yield
    appliance.lab("down")


@pytest.fixture(scope="module")
def lab(request, lab_session, tmp_path_factory):
    """The lab is up with the module's LAB; yields the path of the config that it runs."""
    wanted = list(getattr(request.module, "LAB", []))
    text = getattr(request.module, "CONFIG", None)
    if text is not None:
        path = tmp_path_factory.mktemp("config") / "lab.yaml"
        path.write_text(text)
        wanted += ["--config", str(path)]
    appliance.lab("up", *wanted)
    yield appliance.STATE / "millrace.yaml"


@pytest.fixture
def service(lab):
    """A running appliance; fails the test if its statistics do not add up afterwards."""
    appliance.wait_ready()
    yield
    appliance.settled_stats().check_identities()
