# SPDX-License-Identifier: Apache-2.0
"""A67, A68: what an answer from a resolver must have beside the right addresses, ports and id."""

import dns.edns
import pytest

import world as w
from test_a_upstream import Held
from world import Changed, every_way, reply_to, rrset


def test_A67_case_upstream_is_random(world):
    names = [world.name("abcdefghijklmnop") for _ in range(8)]
    for name in names:
        world.ask("udp4", name)
    spelt = [world.asked(name)[0].message.question[0].name.to_text() for name in names]
    assert any(text != text.lower() for text in spelt)


def test_A67_an_answer_in_another_case_is_not_believed(world):
    with Changed() as changed, Held(world) as held:
        name = held.asked.message.question[0].name.to_wire()
        held.reply(held.good().replace(name, name.swapcase()))
        assert held.is_silent()
        held.reply(held.good())
        assert held.answer().answer
    assert changed["up_case_changed"] == 1, changed


@every_way
def test_A67_clients_see_their_own_spelling(world, way):
    name = world.name("abcdefghijklmnop")
    for spelling in (name.upper(), name, name.title()):
        answer = world.ask(way, spelling).message
        assert answer.question[0].name.to_text(omit_final_dot=True) == spelling
        assert answer.answer[0].name.to_text(omit_final_dot=True) in (spelling, name)


@every_way
def test_A68_cookies_of_clients_stay_here(world, way):
    name = world.name()
    world.ask(way, name, options=[dns.edns.GenericOption(10, b"clientck")])
    assert b"clientck" not in world.asked(name)[0].wire


def test_A68_cookies_upstream(world):
    name = world.name()
    world.ask("udp4", name)
    assert [option.otype for option in world.asked(name)[0].message.options] == [10]


def cookie_in(asked) -> bytes:
    (option,) = [option for option in asked.message.options if option.otype == 10]
    return option.data


def with_cookie(asked, server: bytes = b"server's cookie.", **content):
    return reply_to(
        asked, options=[dns.edns.GenericOption(10, cookie_in(asked)[:8] + server)], **content
    )


@pytest.fixture
def resolver_with_cookies(world, running, tmp_path):
    """What is known of resolvers ends when cookies are switched off."""
    yield world
    for_all = (w.appliance.STATE / "millrace.yaml").read_text()
    path = tmp_path / "cookies.yaml"
    path.write_text(for_all.replace("upstream:\n", "upstream:\n  cookies: false\n"))
    w.appliance.cli("config", "apply", path)
    w.appliance.cli("config", "apply", w.appliance.STATE / "millrace.yaml")


def test_A68_an_answer_without_its_cookie_is_not_believed(resolver_with_cookies):
    world = resolver_with_cookies
    for _ in range(16):  # each worker learns for itself
        name = world.name()
        data = [rrset(name, "A", "192.0.2.1")]
        world.serve(name, lambda asked, data=data: with_cookie(asked, answer=data))
        assert world.ask("udp4", name).records
    with Changed() as changed, Held(world) as held:
        assert cookie_in(held.asked)[8:] == b"server's cookie."
        held.reply(held.good())
        assert held.is_silent()
        data = [rrset(held.name, "A", "192.0.2.1")]
        held.reply(with_cookie(held.asked, answer=data).to_wire())
        assert held.answer().answer
    assert changed["up_drop_cookie"] == 1, changed


def test_A68_badcookie_is_asked_again_with_the_new_one(resolver_with_cookies):
    world = resolver_with_cookies
    name = world.name()
    data = [rrset(name, "A", "192.0.2.1")]
    new = b"another cookie.."
    world.serve(
        name,
        lambda asked: with_cookie(asked, new, answer=data)
        if cookie_in(asked)[8:] == new
        else with_cookie(asked, new, rcode=23),
    )
    assert world.ask("udp4", name).records
    assert len(world.asked(name)) == 2
