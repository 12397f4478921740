"""Whose pages may open a WebSocket here.  What single patterns mean stands in test_hosts_and_util."""

from __future__ import annotations

import pytest
from bokeh.server.util import match_host as bokehs_match_host
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehmount_server.hosts import check_allowlist, match_host, origin_allowed

names = st.lists(st.sampled_from(["a", "b", "*", "com"]), min_size=1, max_size=4).map(".".join)
ports = st.sampled_from(["", ":80", ":8080"])
hosts = st.builds("{}{}".format, names.filter(lambda name: "*" not in name), ports)
patterns = st.builds("{}{}".format, names, st.sampled_from(["", ":80", ":*"]))


@settings(deadline=None, max_examples=300, database=None)
@given(hosts, patterns)
def test_patterns_mean_what_they_mean_to_bokeh(host: str, pattern: str) -> None:
    assert match_host(host, pattern) is bokehs_match_host(host, pattern)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://example.com", True),
        ("https://example.com:80", True),
        ("http://EXAMPLE.com", True),
        ("https://example.com:8080", False),
        ("https://example.com.evil.org", False),
        ("https://evil.org/example.com", False),
        ("https://example.com@evil.org", False),
        ("https://evil.org?example.com", False),
        ("https://evil.org#example.com", False),
        ("https://evilexample.com", False),
        ("https://sub.example.com", False),
        ("null", False),
        ("", False),
        ("example.com", False),
        ("file://", False),
        ("http://[", False),
        ("https://[example.com]", False),
        ("https://[::1]:80", True),
        ("https://[::2]:80", False),
    ],
)
def test_only_the_origins_host_counts(origin: str, allowed: bool) -> None:
    assert origin_allowed(origin, ["example.com:80", "[::1]:80"]) is allowed


def test_an_origin_of_https_has_its_own_port() -> None:
    allowlist = ["example.com:443", "[::1]:443"]
    assert origin_allowed("https://example.com", allowlist) and origin_allowed("https://[::1]", allowlist)
    for origin in ("http://example.com", "https://example.com:80", "https://example.com.evil.org"):
        assert not origin_allowed(origin, allowlist)


def test_an_empty_list_allows_nobody_and_a_star_everybody() -> None:
    assert not check_allowlist("a", []) and check_allowlist("a:5006", ["*"])
