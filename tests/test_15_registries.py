"""Section 15: code points against the registries, written down here a second time."""

from __future__ import annotations

import re

import pytest

import pydnsmasq
from pydnsmasq import (
    DHCP4_OPTIONS,
    DHCP6_OPTIONS,
    EDE_TEXTS,
    PXE_ARCHITECTURES,
    RR_TYPES,
    dhcp_option_find,
    rr_type_name,
    rr_type_parse,
)

# IANA, "Resource Record (RR) TYPEs", in the order of the numbers.
IANA_TYPES = """
1 A            2 NS           3 MD           4 MF           5 CNAME        6 SOA          7 MB           8 MG
9 MR           10 NULL        11 WKS         12 PTR         13 HINFO       14 MINFO       15 MX          16 TXT
17 RP          18 AFSDB       19 X25         20 ISDN        21 RT          22 NSAP        23 NSAP-PTR    24 SIG
25 KEY         26 PX          27 GPOS        28 AAAA        29 LOC         30 NXT         31 EID         32 NIMLOC
33 SRV         34 ATMA        35 NAPTR       36 KX          37 CERT        38 A6          39 DNAME       40 SINK
41 OPT         42 APL         43 DS          44 SSHFP       45 IPSECKEY    46 RRSIG       47 NSEC        48 DNSKEY
49 DHCID       50 NSEC3       51 NSEC3PARAM  52 TLSA        53 SMIMEA      55 HIP         56 NINFO       57 RKEY
58 TALINK      59 CDS         60 CDNSKEY     61 OPENPGPKEY  62 CSYNC       63 ZONEMD      64 SVCB        65 HTTPS
66 DSYNC       99 SPF         100 UINFO      101 UID        102 GID        103 UNSPEC     104 NID        105 L32
106 L64        107 LP         108 EUI48      109 EUI64      128 NXNAME     249 TKEY       250 TSIG       251 IXFR
252 AXFR       253 MAILB      254 MAILA      255 ANY        256 URI        257 CAA        258 AVC        259 DOA
260 AMTRELAY   261 RESINFO    262 WALLET     263 CLA        264 IPN        32768 TA       32769 DLV
"""
TYPES = {name: int(number) for number, name in zip(IANA_TYPES.split()[::2], IANA_TYPES.split()[1::2], strict=True)}

CONSTANTS = """
CLASS_IN 1       CLASS_CH 3       CLASS_HS 4       CLASS_NONE 254   CLASS_ANY 255
NOERROR 0        FORMERR 1        SERVFAIL 2       NXDOMAIN 3       NOTIMP 4         REFUSED 5
FLAG_QR 0x8000   FLAG_AA 0x0400   FLAG_TC 0x0200   FLAG_RD 0x0100   FLAG_RA 0x0080   FLAG_AD 0x0020   FLAG_CD 0x0010
EDNS_DO 0x8000   EDNS_SUBNET 8    EDNS_COOKIE 10   EDNS_EDE 15
EDE_OTHER 0      EDE_DNSKEY_ALGORITHM 1            EDE_DS_DIGEST 2  EDE_STALE 3      EDE_FORGED 4
EDE_EXPIRED 7    EDE_NOT_YET_VALID 8               EDE_NO_DNSKEY 9  EDE_NO_RRSIG 10  EDE_NO_ZONE_BIT 11
EDE_NO_NSEC 12   EDE_NSEC3_ITERATIONS 27
EDE_INDETERMINATE 5               EDE_BOGUS 6      EDE_CACHED 13    EDE_NOT_READY 14 EDE_BLOCKED 15   EDE_CENSORED 16
EDE_FILTERED 17  EDE_PROHIBITED 18                 EDE_NOT_AUTHORITATIVE 20          EDE_NOT_SUPPORTED 21
EDE_UNREACHABLE 22                EDE_NETWORK 23   EDE_INVALID 24
"""
NUMBERS = {name: int(number, 0) for name, number in zip(CONSTANTS.split()[::2], CONSTANTS.split()[1::2], strict=True)}

# RFC 2132 and successors, the options whose data is a list of IPv4 addresses.
DHCP4_ADDRESSES = "1 3 6 7 9 16 21 28 32 33 41 42 44 45 48 49 50 54 65 68 69 70 71 74 92 150 255"
DHCP4_WIDTHS = {
    "u8": "19 20 27 29 30 31 34 36 37 39 46 23", "u16": "13 22 26 93", "u32": "2 24 35 38 108", "time": "51 58 59 91",
}  # fmt: skip
DHCP4_NUMBERS = """
1 netmask              2 time-offset          3 router               6 dns-server           12 hostname
15 domain-name         17 root-path           26 mtu                 28 broadcast           33 static-route
40 nis-domain          42 ntp-server          43 vendor-encap        44 netbios-ns          51 lease-time
53 message-type        54 server-identifier   55 parameter-request   58 T1                  59 T2
60 vendor-class        61 client-id           66 tftp-server         67 bootfile-name       77 user-class
80 rapid-commit        81 FQDN                82 agent-info          93 client-arch         97 client-machine-id
100 posix-timezone     101 tzdb-timezone      108 ipv6-only          114 captive-portal     119 domain-search
121 classless-static-route                    125 vendor-id-encap    150 tftp-server-address
"""
DHCP6_NUMBERS = """
1 client-id            2 server-id            3 ia-na                4 ia-ta                5 iaaddr
6 oro                  7 preference           12 unicast             13 status              14 rapid-commit
15 user-class          16 vendor-class        17 vendor-opts         21 sip-server-domain   22 sip-server
23 dns-server          24 domain-search       27 nis-server          28 nis+-server         29 nis-domain
30 nis+-domain         31 sntp-server         32 information-refresh-time                   39 FQDN
41 posix-timezone      42 tzdb-timezone       56 ntp-server          59 bootfile-url        60 bootfile-param
103 captive-portal
"""


def pairs(table: str) -> list[tuple[int, str]]:
    words = table.split()
    return [(int(number), name) for number, name in zip(words[::2], words[1::2], strict=True)]


# -- record types --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "number"), TYPES.items())
def test_type_by_name_and_number(name: str, number: int) -> None:
    assert rr_type_name(number) == name
    for text in (name, name.lower(), name.title(), str(number), f"TYPE{number}", f"type{number}"):
        assert rr_type_parse(text) == number


def test_no_type_is_wrong_or_twice() -> None:
    assert {name: RR_TYPES[name] for name in TYPES} == TYPES
    assert len(set(RR_TYPES.values())) == len(RR_TYPES)
    assert set(RR_TYPES) - set(TYPES) <= {"SMIMEA", "HHIT", "BRID"}


@pytest.mark.parametrize("name", sorted(name for name in vars(pydnsmasq) if re.match("TYPE_(?!CHECKING)", name)))
def test_type_constants(name: str) -> None:
    assert getattr(pydnsmasq, name) == TYPES[name.removeprefix("TYPE_")]


@pytest.mark.parametrize("number", [0, 54, 67, 98, 110, 127, 248, 300, 32767, 32770, 65280, 65535])
def test_a_type_without_a_name(number: int) -> None:
    assert rr_type_name(number) == f"type={number}"
    assert rr_type_parse(str(number)) == number


def test_every_number_parses_back() -> None:
    for number in range(65536):
        assert rr_type_parse(rr_type_name(number).replace("=", "")) == number


@pytest.mark.parametrize(
    "text",
    ["", "TYPE", "type", "AA", "65536", "TYPE65536", "-1", "+1", "1.0", "0x1", " 1", "A ", "TYPE-1", "TYPETYPE1", "1e3",
     "99999999999999999999", "9" * 5000, "\u00b2", "\u0663", "TYPE\u0663", "A\0", "\u0130N"],
)  # fmt: skip
def test_what_is_no_type(text: str) -> None:
    with pytest.raises(ValueError, match="is no record type"):
        rr_type_parse(text)


# -- other code points -----------------------------------------------------------------


# What the program does not need it may leave out; what it has must be right.
CONSTANT = re.compile(r"(?:CLASS|FLAG|EDE|EDNS)_(?!TEXTS|MAC|CPE)[A-Z_]+$")
PRESENT = sorted(name for name in vars(pydnsmasq) if name in NUMBERS or CONSTANT.match(name))


@pytest.mark.parametrize("name", PRESENT)
def test_constants(name: str) -> None:
    assert getattr(pydnsmasq, name) == NUMBERS[name]


def test_local_edns_options_are_in_the_local_range() -> None:
    local = {pydnsmasq.EDNS_MAC, pydnsmasq.EDNS_MAC_TEXT, pydnsmasq.EDNS_CPE_ID}
    assert local == {65001, 65073, 65074}  # RFC 6891 s.9: 65001-65534


def test_extended_errors_have_texts() -> None:
    assert sorted(EDE_TEXTS) == list(range(len(EDE_TEXTS)))
    assert len(EDE_TEXTS) >= 30  # RFC 8914 and later ones
    assert len(set(EDE_TEXTS.values())) == len(EDE_TEXTS)
    for name in ("STALE", "NOT_READY", "BLOCKED", "FILTERED", "NETWORK"):
        code = getattr(pydnsmasq, f"EDE_{name}")
        assert EDE_TEXTS[code].startswith(name.lower().replace("_", " "))


def test_response_codes_have_texts() -> None:
    assert set(pydnsmasq.RCODE_TEXTS) == {1, 2, 4, 5}


# -- DHCP options ------------------------------------------------------------------------

KINDS = {"addr", "text", "domains", "cstrings", "time", "u8", "u16", "u32", "raw", "ntp"}


@pytest.mark.parametrize("rows", [DHCP4_OPTIONS, DHCP6_OPTIONS], ids=["4", "6"])
def test_option_rows_are_sane(rows: dict[int, pydnsmasq.DhcpOptionRow]) -> None:
    assert list(rows) == sorted(rows)
    names = [row.name.lower() for row in rows.values()]
    assert len(set(names)) == len(names)
    for number, row in rows.items():
        assert row.number == number
        assert 0 < number < 256
        assert row.kind in KINDS
        assert row.name.replace("-", "").replace("+", "").isalnum()
        assert type(row.settable) is bool


@pytest.mark.parametrize(
    ("family", "number", "name"),
    [(4, *row) for row in pairs(DHCP4_NUMBERS)] + [(6, *row) for row in pairs(DHCP6_NUMBERS)],
)
def test_option_by_number_and_name(family: int, number: int, name: str) -> None:
    rows = DHCP4_OPTIONS if family == 4 else DHCP6_OPTIONS
    assert rows[number].name == name
    for text in (name, name.upper(), name.lower()):
        found = dhcp_option_find(family, text)
        assert found is rows[number]


def test_options_hold_what_their_rfc_says() -> None:
    kinds = {kind: sorted(row.number for row in DHCP4_OPTIONS.values() if row.kind == kind) for kind in KINDS}
    assert kinds["addr"] == sorted(map(int, DHCP4_ADDRESSES.split()))
    for kind, numbers in DHCP4_WIDTHS.items():
        known = {int(number) for number in numbers.split()} & set(DHCP4_OPTIONS)
        assert kinds[kind] == sorted(known)
    assert kinds["domains"] == [119]


@pytest.mark.parametrize("name", ["", "nothing", "router ", "3", "option:router", "dns-servers", "\u017ftatic-route"])
@pytest.mark.parametrize("family", [4, 6])
def test_unknown_options(family: int, name: str) -> None:
    assert dhcp_option_find(family, name) is None


def test_families_are_apart() -> None:
    four, six = dhcp_option_find(4, "dns-server"), dhcp_option_find(6, "dns-server")
    assert four is not None
    assert six is not None
    assert (four.number, six.number) == (6, 23)
    assert dhcp_option_find(6, "router") is None
    assert dhcp_option_find(4, "ia-na") is None


# dnsmasq --help dhcp and --help dhcp6 leave these out.
UNSETTABLE = {
    4: """
    hostname broadcast vendor-encap requested-address lease-time option-overload message-type server-identifier
    parameter-request message max-message-size client-id FQDN agent-info subnet-select
    """,
    6: """
    client-id server-id ia-na ia-ta iaaddr oro preference unicast status rapid-commit user-class vendor-class
    vendor-opts FQDN
    """,
}


@pytest.mark.parametrize(("family", "names"), UNSETTABLE.items())
def test_what_dhcp_option_does_not_take(family: int, names: str) -> None:
    rows = DHCP4_OPTIONS if family == 4 else DHCP6_OPTIONS
    assert {row.name for row in rows.values() if not row.settable} == set(names.split())


def test_boot_architectures_stand_at_their_numbers() -> None:
    assert PXE_ARCHITECTURES[0] == "x86PC"
    assert PXE_ARCHITECTURES[6] == "IA32_EFI"
    assert PXE_ARCHITECTURES[7] == "x86-64_EFI"
    assert PXE_ARCHITECTURES[10:] == ("ARM32_EFI", "ARM64_EFI")
    assert len(PXE_ARCHITECTURES) == 12
