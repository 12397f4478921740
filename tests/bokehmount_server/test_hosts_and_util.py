"""Hosts, origins and ports."""

from __future__ import annotations

import pytest

from bokehmount_server.hosts import origin_allowed
from bokehmount_server.util import (
    bind_sockets,
    check_allowlist,
    check_whitelist,
    create_hosts_allowlist,
    create_hosts_whitelist,
    match_host,
)


@pytest.mark.parametrize(
    ("host", "pattern", "matches"),
    [
        # the examples of the first seed
        ("192.168.0.1:80", "192.168.0.1:80", True),
        ("192.168.0.1:80", "192.168.0.1", True),
        ("192.168.0.1:80", "192.168.0.1:8080", False),
        ("192.168.0.1", "192.168.0.2", False),
        ("192.168.0.1", "192.168.*.*", True),
        ("alice", "alice", True),
        ("alice:80", "alice", True),
        ("alice", "bob", False),
        ("foo.example.com", "foo.example.com.net", False),
        ("alice", "*", True),
        ("alice", "*:*", True),
        ("alice:80", "*", True),
        ("alice:80", "*:80", True),
        ("alice:8080", "*:80", False),
        # the same as the seed's text has them, where a star was lost
        ("alice", ":", False),
        ("alice:80", ":80", True),
        ("alice:8080", ":80", False),
        ("", "", True),
        # today's
        ("example.com", "example.com.net", False),
        ("example.com.bad.com", "example.com", False),
        ("a.example.com", "*.example.com", True),
        ("a.b.example.com", "*.example.com", False),
        ("Alice:80", "aLICE", True),
        ("alice", "", False),
        # IPv6
        ("[::1]:80", "[::1]:80", True),
        ("[::1]:80", "[::1]", True),
        ("[::1]:80", "[::1]:8080", False),
        ("[::1]", "[::2]", False),
        ("[::1]:80", "*:80", True),
        ("::1", "[::1]", True),
        ("[::1]", "*.*", False),
    ],
)
def test_a_host_matches_a_pattern(host: str, pattern: str, matches: bool) -> None:
    assert match_host(host, pattern) is matches


def test_a_host_without_a_port_is_asked_for_port_80() -> None:
    for check in (check_allowlist, check_whitelist):
        assert check("alice", ["bob:80", "alice:80"])
        assert not check("alice", ["alice:81"])
        assert check("alice:81", ["alice"])
        assert not check("alice", [])


def test_an_origin_is_its_host() -> None:
    assert origin_allowed("http://alice:5006", ["alice:5006"])
    assert origin_allowed("https://ALICE", ["alice:80"])
    assert not origin_allowed("http://alice.evil.example:5006", ["alice:5006"])
    assert not origin_allowed("null", ["alice"])
    assert not origin_allowed("", ["alice"])


def test_a_list_of_hosts_becomes_patterns_with_ports() -> None:
    for create in (create_hosts_allowlist, create_hosts_whitelist):
        assert create(None, 5006) == ["localhost:5006"]
        assert create([], 5006) == ["localhost:5006"]
        assert create(["alice", "bob:1", "*", "[::1]", "[::1]:2", "10.*.*.*:*"], 1) == [
            "alice:80",
            "bob:1",
            "*",
            "[::1]:80",
            "[::1]:2",
            "10.*.*.*:*",
        ]


@pytest.mark.parametrize(
    ("host", "words"), [("", "names no host"), (":80", "names no host"), ("a:b", "'b'"), ("a:1:2", "brackets")]
)
def test_a_bad_host_is_named(host: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create_hosts_allowlist([host], 1)


tornado_drops_its_socket = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@tornado_drops_its_socket
def test_a_free_port_is_found_and_a_taken_one_is_named_with_the_way_out() -> None:
    sockets, port = bind_sockets("127.0.0.1", 0)
    try:
        assert sockets[0].getsockname() == ("127.0.0.1", port)
        with pytest.raises(OSError, match=rf"port {port} of address '127.0.0.1'.*in use.*port=0"):
            bind_sockets("127.0.0.1", port)
    finally:
        for listening in sockets:
            listening.close()
    with pytest.raises(OSError, match="no network interface"):
        bind_sockets("192.0.2.1", 0)
    with pytest.raises(ValueError, match="99999 is no port"):
        bind_sockets("127.0.0.1", 99999)
