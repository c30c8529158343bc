"""Section 31: every converter, with values that are taken and what comes of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import pydnsmasq as p


def name(text: str) -> bytes:
    return p.dns_name_parse(text)


def ip(text: str) -> bytes:
    packed = p.address_parse(text)
    assert packed is not None
    return packed


def whole(text: str) -> p.DomainPattern:
    return p.DomainPattern(name(text))


def upstream(*domains: str, **fields: Any) -> tuple[p.UpstreamRule, ...]:
    kind = fields.pop("kind", "server")
    return (p.UpstreamRule(tuple(map(whole, domains)), kind, **fields),)


QUOTING = [  # line, what its fields are when it is cut at commas
    ("a,b", ["a", "b"]),
    ('a,"b,c"', ["a", "b,c"]),
    ('"a"b"c"', ["abc"]),
    ('" a ", b', [" a ", "b"]),
    (r'"a\"b"', ['a"b']),
    (r'"\t\n\b\r\e\\"', ["\t\n\b\r\x1b\\"]),
    (r'"\q\x"', [r"\q\x"]),
    (r"a\nb", [r"a\nb"]),
    ("a # b", ["a"]),
    ("a#b", ["a#b"]),
    ("a\t#b,c", ["a"]),
    ("# all", [""]),
    ('"a # b"', ["a # b"]),
    ('"#"', ["#"]),
    ("a,,b", ["a", "", "b"]),
    ('""', [""]),
    ('a,"" # c', ["a", ""]),
    ('"\u00fc,x",y', ["\u00fc,x", "y"]),
    ('x="1.2.3.4"', ["x=1.2.3.4"]),
]


@pytest.mark.parametrize(("line", "fields"), QUOTING)
def test_quotes_protect(line: str, fields: list[str]) -> None:
    assert [p.value_text(field) for field in p.value_fields(p.line_unquote(line))] == fields


@pytest.mark.parametrize("line", ['"', 'a "b', r'"a\"', '"a" "'])
def test_open_quotes_are_refused(line: str) -> None:
    with pytest.raises(p.ConfigError, match='missing "'):
        p.line_unquote(line)


def test_quoted_digits_with_dots_are_a_text() -> None:
    assert p.value_dhcp_option(p.line_unquote('128,"1.2.3.4"')).data == b"1.2.3.4"
    assert p.value_dhcp_option("128,1.2.3.4").data == b"\1\2\3\4"


VALUES: list[tuple[Callable[[str], Any], str, Any]] = [
    # Where questions go.
    (p.value_server, "1.2.3.4", upstream(address="1.2.3.4")),
    (p.value_server, "1.2.3.4#5353", upstream(address="1.2.3.4", port=5353)),
    (p.value_server, "0:0::1", upstream(address="::1")),
    (p.value_server, "fe80::1%eth0", upstream(address="fe80::1", scope="eth0")),
    (p.value_server, "1.2.3.4@eth0", upstream(address="1.2.3.4", interface="eth0")),
    (p.value_server, "1.2.3.4@5.6.7.8#99", upstream(address="1.2.3.4", source="5.6.7.8", source_port=99)),
    (p.value_server, "1.2.3.4@eth0@5.6.7.8", upstream(address="1.2.3.4", interface="eth0", source="5.6.7.8")),
    (p.value_server, "/A.b/c/1.2.3.4", upstream("a.b", "c", address="1.2.3.4")),
    (p.value_server, "/.a.b./1.2.3.4", upstream("a.b", address="1.2.3.4")),
    (p.value_server, "/a/#", upstream("a", kind="standard")),
    (p.value_server, "/a/", upstream("a", kind="local")),
    (p.value_server, "", upstream(".", kind="local")),
    (p.value_server, "/#/1.2.3.4", upstream(".", address="1.2.3.4")),
    (p.value_server, "dns.example#54", upstream(host="dns.example", port=54)),
    (p.value_server, "//1.2.3.4", (p.UpstreamRule((p.DomainPattern(b""),), "server", "1.2.3.4"),)),
    (p.value_server, "/*ab.c/", (p.UpstreamRule((p.DomainPattern(name("ab.c"), 1),), "local"),)),
    (p.value_server, "/*.ab.c/", (p.UpstreamRule((p.DomainPattern(name("ab.c"), 2),), "local"),)),
    (p.value_rev_server, "1.2.3.0/24,9.9.9.9", upstream("3.2.1.in-addr.arpa", address="9.9.9.9")),
    (p.value_rev_server, "1.2.3.4,9.9.9.9", upstream("4.3.2.1.in-addr.arpa", address="9.9.9.9")),
    (p.value_rev_server, "1.2.3.4/8", upstream("1.in-addr.arpa", kind="local")),
    (p.value_rev_server, "1.2.4.0/23,#", upstream("4.2.1.in-addr.arpa", "5.2.1.in-addr.arpa", kind="standard")),
    (p.value_rev_server, "fd00::/8,#", upstream("d.f.ip6.arpa", kind="standard")),
    (p.value_rev_server, "fd00::/7,#", upstream("c.f.ip6.arpa", "d.f.ip6.arpa", kind="standard")),
    (p.value_address_rule, "/a/1.2.3.4", (p.AddressRule((whole("a"),), "v4", ip("1.2.3.4")),)),
    (p.value_address_rule, "/a/b/::", (p.AddressRule((whole("a"), whole("b")), "v6", ip("::")),)),
    (p.value_address_rule, "/a/#", (p.AddressRule((whole("a"),), "null"),)),
    (p.value_address_rule, "/a/", (p.AddressRule((whole("a"),), "nxdomain"),)),
    (p.value_address_rule, "1.2.3.4", (p.AddressRule((whole("."),), "v4", ip("1.2.3.4")),)),
    (p.value_rebind_domains, "/A/b.c/", (name("a"), name("b.c"))),
    (p.value_rebind_domains, "//", (b"",)),
    (p.value_rr_types, "A,aaaa,65,ANY", (1, 28, 65, 255)),
    (p.value_alias, "1.2.3.4,5.6.7.8", p.AliasRule(0x01020304, 0x01020304, 0x05060708, 0xFFFFFFFF)),
    (p.value_alias, "1.2.3.4,5.6.7.0,255.255.255.0", p.AliasRule(0x01020300, 0x010203FF, 0x05060700, 0xFFFFFF00)),
    (p.value_alias, "1.2.3.4-1.2.3.9,5.6.7.0,255.255.255.0", p.AliasRule(0x01020304, 0x01020309, 0x05060700,
        0xFFFFFF00)),
    (p.value_add_subnet, "", p.AddSubnet(0, None, 0, None)),
    (p.value_add_subnet, "24,96", p.AddSubnet(24, None, 96, None)),
    (p.value_add_subnet, "1.2.3.4/24,fd00::/64", p.AddSubnet(24, ip("1.2.3.4"), 64, ip("fd00::"))),
    (p.value_fast_retry, "", (1000, 10_000)),
    (p.value_fast_retry, "100,2500", (100, 2000)),
    (p.value_umbrella, "orgid:7,deviceid:0123456789abcdef", p.Umbrella(bytes.fromhex("0123456789abcdef"), 7, 0)),
    (p.value_kernel_sets, "/a/b/x,y", (p.KernelSet((whole("a"), whole("b")), ("x", "y")),)),
    (p.value_nft_sets, "/a/4#inet#t#s,6#t#v", (p.KernelSet((whole("a"),), (p.NftSet(1, "t", "s", 4), p.NftSet(2, "t",
        "v", 6))),)),
    (p.value_connmark, "1/3,*.a.b/c.d", (p.ConnmarkAllow(1, 3, ("*.a.b", "c.d")),)),
    # Records.
    (p.value_mx, "a,b,50", p.MxHost(name("a"), name("b"), 50)),
    (p.value_srv, "_a._b.c", p.SrvHost(name("_a._b.c"), None, 1, 0, 0)),
    (p.value_srv, "_a._b.c,d,1,2,3", p.SrvHost(name("_a._b.c"), name("d"), 1, 2, 3)),
    (p.value_txt, "A.b,x,y z", p.TxtRecord(name("A.b"), (b"x", b"y z"))),
    (p.value_txt, "a," + "x" * 300, p.TxtRecord(name("a"), (b"x" * 255, b"x" * 45))),
    (p.value_ptr, "a,b", p.PtrRecord(name("a"), name("b"))),
    (p.value_naptr, "a,1,2,S,b,c", p.NaptrRecord(name("a"), 1, 2, b"S", b"b", b"c", b"\0")),
    (p.value_caa, "a,0,issue,b", p.CaaRecord(name("a"), 0, b"issue", b"b")),
    (p.value_dns_rr, "a,65280,01:2a b0", p.DnsRr(name("a"), 65280, b"\1\x2a\xb0")),
    (p.value_host_record, "a,b,1.2.3.4,60,::1", p.HostRecord((name("a"), name("b")), (ip("1.2.3.4"),), (ip("::1"),),
        60)),
    (p.value_cname, "a,*.b,c,5", p.CnameRecord((name("a"), name("*.b")), name("c"), 5)),
    (p.value_interface_name, "a,eth0/6", p.InterfaceName(name("a"), "eth0", 6)),
    (p.value_dynamic_host, "a,0.0.0.4,::4,eth0", p.DynamicHost(name("a"), ip("0.0.0.4"), ip("::4"), "eth0")),
    (p.value_synth, "a,1.2.3.0/24,x*", p.SynthDomain(name("a"), ip("1.2.3.0"), ip("1.2.3.255"), "x", True)),
    (p.value_synth, "a,::1,::9,i-", p.SynthDomain(name("a"), ip("::1"), ip("::9"), "i-", False)),
    (p.value_domain, "#", p.DomainRule(b"\0", from_resolv=True)),
    (p.value_domain, "lan", p.DomainRule(name("lan"))),
    (p.value_domain, "lan,eth0", p.DomainRule(name("lan"), interface="eth0")),
    (p.value_domain, "lan,1.2.3.4,1.2.3.9", p.DomainRule(name("lan"), ip("1.2.3.4"), ip("1.2.3.9"))),
    (
        p.value_domain,
        "lan,1.2.3.4/24,local",
        p.DomainRule(name("lan"), ip("1.2.3.0"), ip("1.2.3.255"), "", True, False, p.Network(ip("1.2.3.4"), 24)),
    ),
    (
        p.value_auth_zone,
        "a,1.2.3.0,exclude:fd00::,eth*/6",
        p.AuthZone(name("a"), (p.Network(ip("1.2.3.0"), 24),), (p.Network(ip("fd00::"), 64),), (("eth*", 6),)),
    ),
    (p.value_auth_server, "ns,eth0/4,1.2.3.4", p.AuthServer(name("ns"), (("eth0", 4),), ("1.2.3.4",))),
    (p.value_auth_soa, "7,a@b.c,,3", p.AuthSoa(7, name("a.b.c"), None, 3, None)),
    # The rest outside of DHCP.
    (p.value_log_facility, "Local0", "local0"),
    (p.value_log_facility, "security", "auth"),
    (p.value_log_words, "proto,auth", frozenset(("proto", "extra", "auth"))),
    (p.value_log_words, "what", frozenset()),
    (p.value_conf_dir, "/d,.bak,*.conf", p.ConfDir("/d", (".bak",), (".conf",))),
    (p.value_duration, "2H", 7200),
    (p.value_duration, "1w", 604_800),
    (p.value_duration, "Infinite", -1),
    (p.value_number, "0x10", 16),
    (p.value_interfaces, "a,b,", ("a", "b")),
    (p.value_interfaces, "", ("",)),
    (p.value_addresses, "127.0.0.1,0::1", ("127.0.0.1", "::1")),
    (p.value_check_unsigned, "no", False),
    (p.value_dnssec_limits, "1,0,3", p.DnssecLimits(1, 200, 3, 150)),
    (p.value_trust_anchor, "A.,CH,1,2,3,aB cd", p.TrustAnchor(name("a"), 3, 1, 2, 3, b"\xab\xcd")),
    (p.value_trust_anchor, "a.b", p.TrustAnchor(name("a.b"))),
    # DHCP.
    (p.value_tag_set, "tag:a,#b,!c,net:d", ("a", "!b", "!c", "d")),
    (p.value_dhcp_range, "1.2.3.9,1.2.3.4", p.DhcpRange(ip("1.2.3.4"), ip("1.2.3.9"))),
    (p.value_dhcp_range, "x,1.2.3.4,1.2.3.9,5", p.DhcpRange(ip("1.2.3.4"), ip("1.2.3.9"), (), "x", lease=120)),
    (
        p.value_dhcp_range,
        "tag:a,tag:!b,set:x,1.2.3.4,static,255.255.255.0,1.2.3.255,infinite",
        p.DhcpRange(
            ip("1.2.3.4"), ip("1.2.3.4"), ("a", "!b"), "x", ip("255.255.255.0"), ip("1.2.3.255"),
            modes=frozenset(("static",)), lease=-1,
        ),
    ),
    (
        p.value_dhcp_range,
        "::1,::ff,constructor:eth*,ra-stateless,64,12h",
        p.DhcpRange(ip("::1"), ip("::ff"), constructor="eth*", modes=frozenset(("ra-stateless",)), lease=43_200),
    ),
    (p.value_dhcp_range, "fd00::1,fd00::9,80,deprecated", p.DhcpRange(ip("fd00::1"), ip("fd00::9"), prefix=80,
        deprecated=True)),
    (p.hardware_parse, "06-0:1:*", p.HardwareAddress((0, 1, None), 6)),
    (p.hardware_parse, "zz:11", None),
    (
        p.value_dhcp_host,
        "11:22:33:44:55:66,set:a,tag:b,1.2.3.4,Foo.lan,[::5],[fd00::/64],45m",
        p.DhcpHost(
            (p.HardwareAddress((0x11, 0x22, 0x33, 0x44, 0x55, 0x66)),), None, False, ("a",), ("b",), ip("1.2.3.4"),
            (p.Network(ip("::5"), 128), p.Network(ip("fd00::"), 64)), "Foo", name("lan"), 2700,
        ),
    ),
    (p.value_dhcp_host, "id:01:0a,ignore", p.DhcpHost(client_id=b"\1\n", ignore=True)),
    (p.value_dhcp_host, "id:text,5", p.DhcpHost(client_id=b"text", lease=120)),
    (p.value_dhcp_host, "id:*,x", p.DhcpHost(any_client_id=True, name="x")),
    (p.value_dhcp_match, "set:a,60", p.DhcpMatch("a", 60)),
    (p.value_dhcp_match, "a,option:client-arch,7", p.DhcpMatch("a", 93, kind="array", data=(0, 7))),
    (p.value_dhcp_match, "set:a,61,01:*:ff", p.DhcpMatch("a", 61, kind="hex", data=(1, None, 255))),
    (p.value_dhcp_match, "set:a,12,foo", p.DhcpMatch("a", 12, kind="text", data=tuple(b"foo"))),
    (p.value_dhcp_match, "set:a,vi-encap:343,foo", p.DhcpMatch("a", -1, 4, 343, "text", tuple(b"foo"))),
    (p.value_dhcp_match, "set:a,option6:16,01:*", p.DhcpMatch("a", 16, 6, kind="hex", data=(1, None))),
    (p.value_tag_mac, "set:a,11:*:33", p.DhcpTagMac("a", p.HardwareAddress((0x11, None, 0x33)))),
    (p.value_tag_vendor, "set:a,enterprise:343,PXE", p.DhcpTagText("a", b"PXE", 343)),
    (p.value_tag_relay, "a,00:1f", p.DhcpTagText("a", b"\0\x1f")),
    (p.value_tag_relay, "a,001f", p.DhcpTagText("a", b"001f")),
    (p.value_dhcp_name_match, "set:a,Foo*", p.DhcpNameMatch("a", "foo", True)),
    (p.value_tag_if, "set:a,set:b,tag:c*,tag:!d", p.TagIf(("a", "b"), ("c*", "!d"))),
    (p.value_dhcp_ports, "", (1067, 1068)),
    (p.value_dhcp_ports, "1000", (1000, 1001)),
    (p.value_dhcp_reply_delay, "tag:a,5", p.DhcpReplyDelay(5, ("a",))),
    (p.value_dhcp_relay, "1.2.3.4,5.6.7.8#1067,eth0", p.DhcpRelay(ip("1.2.3.4"), ip("5.6.7.8"), 1067, "eth0")),
    (p.value_dhcp_relay, "fd00::1,eth0", p.DhcpRelay(ip("fd00::1"), None, interface="eth0")),
    (p.value_dhcp_split_relay, "1.2.3.4,5.6.7.8,9.9.9.9", p.DhcpRelay(ip("1.2.3.4"), ip("5.6.7.8"), 0, "", True,
        ip("9.9.9.9"))),
    (p.value_shared_network, "eth0,1.2.3.4", p.SharedNetwork("eth0", None, ip("1.2.3.4"))),
    (p.value_bridge, "br0,tap*,x", p.BridgeInterface("br0", ("tap*", "x"))),
    (p.value_leasequery, "", (p.Network(ip("0.0.0.0"), 0),)),
    (p.value_dhcp_duid, "9,01:02", p.DhcpDuid(9, b"\1\2")),
    (p.value_dhcp_boot, "tag:a,f,,1.2.3.4", p.DhcpBoot("f", ("a",), "", ip("1.2.3.4"))),
    (p.value_dhcp_boot, "f,n,host.lan", p.DhcpBoot("f", (), "n", None, "host.lan")),
    (p.value_pxe_service, "x86-64_efi,Text,base,1.2.3.4", p.PxeService(7, "Text", "base", None, ip("1.2.3.4"))),
    (p.value_pxe_service, "tag:a,0,Text,5", p.PxeService(0, "Text", "", 5, tags=("a",))),
    (p.value_pxe_prompt, "tag:a,Press,9", p.PxePrompt("Press", 9, ("a",))),
    (p.value_tftp_root, "/a,eth0", p.TftpRoot("/a", "eth0")),
    (p.value_port_range, "9,5", (5, 9)),
    (p.value_ra_param, "eth0,mtu:1280,high,2,0", p.RaParam("eth0", 4, 0, 1, 1280)),
    (p.value_ra_param, "*,0,99999", p.RaParam("*", 600, 9000)),
    (p.value_ra_param, "eth0,mtu:eth1,low", p.RaParam("eth0", 600, None, -1, None, "eth1")),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "text", "expected"), VALUES)
def test_value(parse: Callable[[str], Any], text: str, expected: Any) -> None:
    assert parse(text) == expected


OPTION_DATA = [  # value of dhcp-option, number, data in hex, offsets of the server's own addresses
    ("3", 3, "", ()),
    ("3,1.2.3.4,0.0.0.0", 3, "01020304 00000000", (4,)),
    ("option:router,1.2.3.4", 3, "01020304", ()),
    ("option:mtu,1500", 26, "05dc", ()),
    ("2,-3600", 2, "fffff1f0", ()),
    ("2,0x10", 2, "00000010", ()),
    ("108,30m", 108, "00000708", ()),
    ("option:T1,1h", 58, "00000e10", ()),
    ("58,infinite", 58, "ffffffff", ()),
    ("15,a.b", 15, b"a.b".hex(), ()),
    ("66,a,b", 66, b"a,b".hex(), ()),
    ("119,a.b,c.b,b", 119, "0161 0162 00 0163 c002 c002", ()),
    ("120,1.2.3.4", 120, "01 01020304", ()),
    ("120,a.b", 120, "00 0161016200", ()),
    ("121,10.0.0.0/8,1.2.3.4,0.0.0.0/0,1.2.3.4", 121, "08 0a 01020304 00 01020304", ()),
    ("128,5", 128, "05", ()),
    ("128,300", 128, "012c", ()),
    ("128,-5", 128, "fffffffb", ()),
    ("128,1,-1", 128, b"1,-1".hex(), ()),
    ("128,1a", 128, b"1a".hex(), ()),
    ("128,cafe", 128, b"cafe".hex(), ()),
    ("128,01:02:*", 128, b"01:02:*".hex(), ()),
    ("128,70000", 128, "00011170", ()),
    ("128,5s", 128, "0005", ()),
    ("128,5i", 128, "00000005", ()),
    ("128,5i,1b", 128, b"5i,1b".hex(), ()),
    ("128,01:2:ff", 128, "0102ff", ()),
    ("128,1.2.3.4,5.6.7.8", 128, "01020304 05060708", ()),
    ("128,1.2.3.4,foo", 128, b"1.2.3.4,foo".hex(), ()),
    ("128,/path/x", 128, b"/path/x".hex(), ()),
    ("vendor:MSFT,2,1i", 2, "00000001", ()),
    ("encap:175,8,1b", 8, "01", ()),
    ("encap:43,3,foo", 3, b"foo".hex(), ()),
    ("vi-encap:9,3,foo", 3, b"foo".hex(), ()),
    ("option6:dns-server,[::],[fd00::1]", 23, "00" * 16 + "fd" + "00" * 14 + "01", (0,)),
    ("option6:24,a.b,c", 24, "0161016200 016300", ()),
    ("option6:60,ab,c", 60, "0002 6162 0001 63", ()),
    ("option6:ntp-server,[fd00::1],[ff05::1],a.b", 56,
     "0001 0010 fd000000000000000000000000000001 0002 0010 ff050000000000000000000000000001 0003 0005 0161016200", ()),
    ("option6:32,6h", 32, "00005460", ()),
    ("option6:100,5s", 100, "0005", ()),
]  # fmt: skip


@pytest.mark.parametrize(("text", "number", "data", "own"), OPTION_DATA)
def test_dhcp_option_data(text: str, number: int, data: str, own: tuple[int, ...]) -> None:
    rule = p.value_dhcp_option(text)
    assert (rule.number, rule.data.hex(), rule.own) == (number, data.replace(" ", ""), own)


def test_dhcp_option_conditions_and_wrappers() -> None:
    rule = p.value_dhcp_option("lan,tag:!b,vi-encap:343,5,x")
    assert (rule.tags, rule.enterprise, rule.number, rule.family) == (("lan", "!b"), 343, 5, 4)
    assert p.value_dhcp_option_force("43,x").force
    assert p.value_dhcp_option_pxe("43,x").pxe
    with pytest.raises(p.ConfigError, match="too long"):
        p.value_dhcp_option("15," + "x" * 256)
    with pytest.raises(p.ConfigError, match="too long"):
        p.value_dhcp_option("encap:43,15," + "x" * 254)


# The key of the root zone since 2018 and its DS, as IANA publishes them.
ROOT_KEY = (
    "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kv"
    "ArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+e"
    "oZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwN"
    "R1AkUTV74bU="
)
ROOT_DS = bytes.fromhex("e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d")
ROOT_ANCHOR = p.TrustAnchor(b"\0", 1, 20326, 8, 2, ROOT_DS)
ANCHORS = [
    (f".,20326,8,2,{ROOT_DS.hex()}", ROOT_ANCHOR),
    (f".,in,20326,8,2,{ROOT_DS.hex().upper()}", ROOT_ANCHOR),
    (f".,257,3,8,{ROOT_KEY}", ROOT_ANCHOR),
    (f'.,IN,257,3,8,"{ROOT_KEY[:40]} {ROOT_KEY[40:]}"', ROOT_ANCHOR),
    ("Ex.Test,1,8,2,00ff", p.TrustAnchor(name("ex.test"), 1, 1, 8, 2, b"\0\xff")),
    ("ex.test.,HS,65535,255,255,00", p.TrustAnchor(name("ex.test"), 4, 65535, 255, 255, b"\0")),
    ("x,257,4,2,00", p.TrustAnchor(name("x"), 1, 257, 4, 2, b"\0")),  # a DS: 4 is no protocol of keys
    ("x,258,3,2,00", p.TrustAnchor(name("x"), 1, 258, 3, 2, b"\0")),
    (".", p.TrustAnchor(b"\0")),
    ("ex.test,CH", p.TrustAnchor(name("ex.test"), 3)),
]
BAD_ANCHORS = [
    ("", "bad trust anchor"), (",1,8,2,00", "bad trust anchor"), (".,1,8,2", "bad trust anchor"),
    (".,1", "bad trust anchor"), (".,1,8,2,00,00", "bad trust anchor"), (".,XX,1,8,2,00", "bad trust anchor"),
    (".,1,8,2,xyz", "bad HEX in trust anchor"), (".,1,8,2,", "bad HEX in trust anchor"),
    (".,257,3,8,", "bad key in trust anchor"), (".,257,3,8,AAA", "bad key in trust anchor"),
    (".,256,3,8,AA==", "bad key in trust anchor"), (".,65536,8,2,00", ""), (".,1,256,2,00", ""), (".,1,8,256,00", ""),
    (".,x,8,2,00", ""), (".,-1,8,2,00", ""), (".,257,3,256,AAAAAAAA", ""), ("bad..name,1,8,2,00", ""),
    ("bad..name", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ANCHORS)
def test_trust_anchors(text: str, expected: Any) -> None:
    """A DS, a key (which is kept as its DS), or a name below which nothing is proved."""
    assert p.value_trust_anchor(p.line_unquote(text)) == expected


@pytest.mark.parametrize(("text", "problem"), BAD_ANCHORS)
def test_bad_trust_anchors(text: str, problem: str) -> None:
    with pytest.raises(p.ConfigError) as caught:
        p.value_trust_anchor(text)
    assert problem in caught.value.problem


LIMITS = [("1", (1, 200, 40, 150)), ("1,2,3,4", (1, 2, 3, 4)), ("0,0,0,9", (20, 200, 40, 9)), (",7", (20, 7, 40, 150))]


@pytest.mark.parametrize(("text", "expected"), LIMITS)
def test_dnssec_limits(text: str, expected: tuple[int, ...]) -> None:
    assert p.value_dnssec_limits(text) == p.DnssecLimits(*expected)


@pytest.mark.parametrize("text", ["x", "1,2,3,4,5", "-1", "1,x"])
def test_bad_dnssec_limits(text: str) -> None:
    with pytest.raises(p.ConfigError):
        p.value_dnssec_limits(text)


@pytest.mark.parametrize("text", ["yes", "NO", "no,"])
def test_check_unsigned_is_bare_or_no(text: str) -> None:
    assert p.value_check_unsigned("") is True
    with pytest.raises(p.ConfigError, match="bad value for dnssec-check-unsigned"):
        p.value_check_unsigned(text)


INET = p.NFT_FAMILIES["inet"]
SETS: list[tuple[Callable[[str], Any], str, list[str], list[Any]]] = [
    # value, domains, sets
    (p.value_kernel_sets, "/A.b/.c.d./x, y ", ["a.b", "c.d"], ["x", "y"]),
    (p.value_kernel_sets, "x,y", ["."], ["x", "y"]),
    (p.value_kernel_sets, "/#/x", ["."], ["x"]),
    (p.value_kernel_sets, "/a/" + "x" * 31, ["a"], ["x" * 31]),
    (p.value_kernel_sets, "/a/x.y-z_1", ["a"], ["x.y-z_1"]),
    (p.value_nft_sets, "/#/inet#t#s", ["."], [p.NftSet(INET, "t", "s")]),
    (p.value_nft_sets, "t#s,ip6#t#s", ["."], [p.NftSet(2, "t", "s"), p.NftSet(10, "t", "s")]),
    (p.value_nft_sets, "/a/inet t s,6#inet t s", ["a"], [p.NftSet(INET, "t", "s"), p.NftSet(INET, "t", "s", 6)]),
    (p.value_nft_sets, "/a/4#t#s", ["a"], [p.NftSet(2, "t", "s", 4)]),
    (p.value_nft_sets, "/a/bridge#t#s,arp#t#s,netdev#t#s", ["a"], [p.NftSet(n, "t", "s") for n in (7, 3, 5)]),
]
BAD_SETS = [
    (p.value_kernel_sets, ["", "/a/", "/a/,", "/a", "/a/" + "x" * 32, "/bad..name/x"]),
    (p.value_nft_sets, ["", "/a/", "/a/s", "/a/5#t#s", "/a/foo#t#s", "/a/4#s", "/a/4#5#t#s", "/a/inet#t#s#more",
                        "/a/4#", "/a/INET#t#s"]),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "text", "domains", "sets"), SETS)
def test_sets_of_the_kernel(parse: Callable[[str], Any], text: str, domains: list[str], sets: list[Any]) -> None:
    (rule,) = parse(text)
    assert rule == p.KernelSet(tuple(map(whole, domains)), tuple(sets))


@pytest.mark.parametrize(("parse", "text"), [(parse, text) for parse, texts in BAD_SETS for text in texts])
def test_bad_sets_of_the_kernel(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(p.ConfigError):
        parse(text)


# As dnsmasq takes and refuses them.
LONG = ".".join(["a" * 60] * 4)
PATTERNS = f"""
* a.b *.a.b **.a.b *x*.a.b x*.a.b a.*.b.c *.*.*.a.b xn--a.b a.b1 a.1b ab.c-d *-a.b.c x.localhost *.in-addr.arpa
{"a" * 63}.b {LONG}.abcd a.b/c.d a.b/* a.b/a.b A.B.Local.d
""".split()
BAD_PATTERNS = f"""
a *.b a.* a.*b *x*y*.a.b a..b .a.b a.b. a_b.c _x.a.b -a.b a-.b ab-.c.d a.-b a*-.b.c ü.b.c a.1 1.2.3.4 x.local local
x.LOCAL {"a" * 64}.b {LONG}.abcdefghijk ** # a.b/ /a.b a.b//c.d a.b,c.d ſ.b.c a.٣
""".split()


@pytest.mark.parametrize("text", PATTERNS)
def test_patterns_of_marks(text: str) -> None:
    assert p.value_connmark(f"1,{text}") == (p.ConnmarkAllow(1, 0xFFFFFFFF, tuple(text.split("/"))),)


@pytest.mark.parametrize("text", BAD_PATTERNS)
def test_bad_patterns_of_marks(text: str) -> None:
    for pattern in (text, f"c.d/{text}", f"{text}/*"):
        with pytest.raises(p.ConfigError):
            p.value_connmark(f"1,{pattern}")


def test_a_pattern_has_no_blanks() -> None:
    with pytest.raises(p.ConfigError):
        p.value_connmark("1,a b.c")


MARKS = [
    ("1", (1, 0xFFFFFFFF)), ("4294967295", (0xFFFFFFFF, 0xFFFFFFFF)), ("1/1", (1, 1)), ("2/3", (2, 3)),
    ("240/4294967295", (240, 0xFFFFFFFF)),
    *((text, None) for text in "0 -1 0x1 4294967296 text 2/1 1/0 1/ /1 1/0x1 1/2/3 1/4294967296 /".split()), ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MARKS)
def test_marks_and_their_masks(text: str, expected: tuple[int, int] | None) -> None:
    for more in ("", ",a.b"):
        if expected is None:
            with pytest.raises(p.ConfigError):
                p.value_connmark(text + more)
        else:
            assert p.value_connmark(text + more) == (p.ConnmarkAllow(*expected, ("a.b",) if more else ()),)


INTEGERS = [
    (0, 10, "0", 0),
    (0, 10, "10", 10),
    (0, 10, "11", None),
    (0, 10, "-1", None),
    (0, 10, "", None),
    (0, 10, "\u0663", None),
]


@pytest.mark.parametrize(("low", "high", "text", "expected"), INTEGERS)
def test_integers_have_bounds(low: int, high: int, text: str, expected: int | None) -> None:
    parse = p.value_integer(low, high)
    if expected is None:
        with pytest.raises(p.ConfigError):
            parse(text)
    else:
        assert parse(text) == expected


def test_integers_clamp() -> None:
    parse = p.value_integer(0, 1000, 10, 100, 7)
    assert [parse(text) for text in ("1", "50", "1000", "")] == [10, 50, 100, 7]


def test_any_text_gives_a_value_or_a_config_error() -> None:
    rng = random.Random(31)
    pieces = ["/", ",", ":", "#", "@", "*", "%", ".", "1.2.3.4", "fd00::1", "a", "set:", "tag:", "option:",
    "option6:", "[", "]",
              "1", "99999999999", "-", "!", "infinite", "static", " ", "\u00fc", "\udc80", "encap:", "vendor:",
              "router", "id:", "0x",
              "\U0010fe2c", "\u0663", "\0"]  # fmt: skip
    rows = [row for row in p.OPTION_ROWS if row.parse is not None]
    for _ in range(20_000):
        row = rng.choice(rows)
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(9)))
        try:
            row.parse(text)
        except p.ConfigError as error:
            assert error.problem
