# SPDX-License-Identifier: Apache-2.0
"""One lab for the whole suite; a world of its own for each test.

What ends with a module ends before the lab is changed for another one, whatever comes first: pytest
keeps what has the scope `package` to the end of the session, where there is no `__init__.py`.
"""

import pathlib
import sys

import pytest

import appliance
from played_resolver import PlayedResolver

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import world as worlds  # noqa: E402


@pytest.fixture(scope="module")
def running(lab_session):
    appliance.lab(
        "up",
        "--no-upstream",
        "--testing",
        "--workers",
        "2",
        "--config",
        str(HERE / "conformance.yaml"),
    )
    appliance.wait_ready()


@pytest.fixture(scope="module")
def resolver(running):
    """Fails the last test of a module if the statistics do not add up after all of them."""
    places = (worlds.ONLY, *worlds.PAIR, worlds.SIX, worlds.SUBNET)
    with PlayedResolver(places=places, tcp=True) as played:
        yield played
    appliance.advance(6)
    appliance.settled_stats().check_identities()


@pytest.fixture
def world(resolver):
    made = worlds.World(resolver)
    yield made
    resolver.check()
    if made.kept_waiting:
        made.recover()
    resolver.drain(0)
