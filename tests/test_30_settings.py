"""Section 30: the records of a configuration."""

from __future__ import annotations

import pytest

import pydnsmasq as p


def test_config_has_an_attribute_for_each_value() -> None:
    config = p.Config({"no_resolv": True, "server": ()}, frozenset(("no-resolv",)), ("/etc/dnsmasq.conf",), ("ipset",))
    assert config.no_resolv is True
    assert config.server == ()
    assert set(config.given) == {"no-resolv"}
    assert config.files == ("/etc/dnsmasq.conf",)
    assert config.not_at_work == ("ipset",)
    with pytest.raises(AttributeError):
        config.nonsense  # noqa: B018


def test_every_option_has_a_default() -> None:
    config = p.config_load([], _Nothing()).config
    assert config is not None
    for row in p.OPTION_ROWS:
        assert getattr(config, row.target) == row.default
    assert config.bulk_local is None and config.bulk_null is None


class _Nothing:
    """A machine without files."""

    def identity(self, path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (lambda: p.Network(b"\1\2\3\4", 24), "Network(address=b'\\x01\\x02\\x03\\x04', prefix=24)"),
        (lambda: p.DomainPattern(b"\1a\0"), "DomainPattern(name=b'\\x01a\\x00', kind=0)"),
        (lambda: p.MxHost(b"\0", None), "MxHost(name=b'\\x00', target=None, preference=1)"),
    ],
)
def test_records_show_their_fields(rule: object, expected: str) -> None:
    made = rule()  # type: ignore[operator]
    assert repr(made) == expected
    assert made == rule()  # type: ignore[operator]


@pytest.mark.parametrize("name", ["port", "server", "dhcp_range", "filter_AAAA", "no_0x20_encode"])
def test_dashes_are_underscores(name: str) -> None:
    assert name in {row.target for row in p.OPTION_ROWS}
