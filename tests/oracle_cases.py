"""Configurations and questions that are put to dnsmasq and to pydnsmasq alike.

A question is one line: `NAME TYPE [words]`.  Words:

    tcp            over TCP               rd0 ad cd      header bits
    edns=SIZE      with an OPT record     do             with the DO bit
    class=CH       another class          to=ADDRESS     ask that local address
    opt=CODE:HEX   an EDNS option         wait=SECONDS   how long silence is heard
    *N             ask N times in a row

`sleep SECONDS` waits; `raw NAME` sends a packet of RAW.  After ` ! ` stands an
expected difference: the words that ours may answer (an rcode, SILENCE, ANY for
whatever it likes), then a colon and the reason.  Words like `~log` name what is
not compared while the rest is: log, upstream, answer, answer_TTL, flags, EDE,
EDNS_size, EDNS_flags, authority, additional.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import dnswire

X250 = "x" * 250

ZONE = f"""
a.example.com 300 A 198.18.0.1
two.example.com 300 A 198.18.0.2
two.example.com 300 A 198.18.0.3
six.example.com 300 AAAA 2400::1
both.example.com 300 A 198.18.0.4
both.example.com 300 AAAA 2400::4
c1.example.com 300 CNAME c2.example.com
c2.example.com 200 CNAME two.example.com
cx.example.com 300 CNAME nowhere.example.com
cother.example.com 300 CNAME b.example.net
b.example.net 60 A 198.18.1.1
mx.example.com 100 MX 10 mail.example.com
mx.example.com 100 MX 20 mail2.example.com
txt.example.com 100 TXT "hello world" "two"
ns.example.com 100 NS ns1.example.com
_sip._tcp.example.com 100 SRV 1 2 5060 sip.example.com
_two._tcp.example.com 100 SRV 1 2 5060 sip1.example.com
_two._tcp.example.com 100 SRV 2 2 5061 sip2.example.com
caa.example.com 100 CAA 0 issue "ca.example"
naptr.example.com 100 NAPTR 1 2 u sip !a!b! rep.example.com
https.example.com 100 HTTPS \\# 00010000
sshfp.example.com 100 SSHFP \\# 0101aabbccdd
1.0.18.198.in-addr.arpa 500 PTR a.example.com
9.0.0.10.in-addr.arpa 500 PTR private.example.com
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.2.ip6.arpa 500 PTR six.example.com
dname.example.com 500 PTR odd.example.com
big.example.com 100 TXT "{X250}" "{X250}" "{X250}" "{X250}"
huge.example.com 100 TXT "{X250}" "{X250}" "{X250}" "{X250}" "{X250}" "{X250}" "{X250}" "{X250}"
zero.example.com 0 A 198.18.0.9
one.example.com 1 A 198.18.0.10
long.example.com 900000 A 198.18.0.11
priv.example.com 300 A 192.168.7.7
mixed.example.com 300 A 198.18.0.12
mixed.example.com 300 A 10.7.7.7
loop.example.com 300 A 127.0.0.5
zeroaddr.example.com 300 A 0.0.0.0
priv6.example.com 300 AAAA fd00::7
ll6.example.com 300 AAAA fe80::7
mapped.example.com 300 AAAA ::ffff:192.168.1.1
lo6.example.com 300 AAAA ::1
cpriv.example.com 300 CNAME priv.example.com
priv.ok.test 300 A 192.168.7.8
bogus.example.com 300 A 198.18.66.66
bogus6.example.com 300 AAAA 2400:66::1
bogusnet.example.com 300 A 198.18.67.9
www.corp.test 300 A 198.18.2.1
corp.test 300 A 198.18.2.2
deep.sub.corp.test 300 A 198.18.2.3
alias1.example.com 300 A 198.18.9.1
alias2.example.com 300 A 198.18.9.77
single 300 A 198.18.3.3
host1 300 TXT "from upstream"
host1 300 A 198.18.3.4
rec.lan 300 MX 10 mail.rec.lan
localhost 300 A 127.0.0.1
printer.local 300 A 198.18.3.5
UPPER.example.com 300 A 198.18.3.6
_under.example.com 300 A 198.18.3.7
"""
ZONE2 = """
a.example.com 300 A 198.19.0.1
www.corp.test 300 A 198.19.2.1
corp.test 300 A 198.19.2.2
deep.sub.corp.test 300 A 198.19.2.3
xcorp.test 300 A 198.19.2.4
single 300 A 198.19.3.3
1.0.18.198.in-addr.arpa 500 PTR second.example.com
9.0.0.10.in-addr.arpa 500 PTR second.private.example.com
bogus.example.com 300 A 198.19.66.66
"""
SOA = "example.com 300 SOA ns.example.com root.example.com 1 3600 600 86400 60"

HOSTS = """\
# a remark
10.1.1.1 host1 host1.lan h1
10.1.1.2 host2# glued remark
fd00:1::2 host2
10.1.1.3 multi
10.1.1.4 multi\r
10.1.1.5 MiXed.Lan other.lan
127.0.0.1 lo.lan
nonsense badline
10.1.1.6 bad..name good.lan
10.1.1.7 a.example.com
10.1.1.8\ttabbed.lan   spaced.lan
10.1.1.1 host1
0.0.0.0 blocked.lan
:: blocked.lan
127.9.9.9 near
10.9.9.9 near
"""


@dataclass
class OracleCase:
    """One configuration, the files it needs and the questions."""

    name: str
    conf: str
    questions: str
    files: dict[str, str] = field(default_factory=dict)
    log: bool = False
    host: str = "127.0.0.1"


def _header(flags: int = 0x100, qd: int = 1, an: int = 0, ns: int = 0, ar: int = 0) -> bytes:
    return struct.pack("!6H", 7, flags, qd, an, ns, ar)


_QN = b"\5host1\0\0\1\0\1"
_NEW = b"\4new1\7example\3com\0\0\1\0\1"
_REST = b"\7example\3com\0\0\1\0\1"

RAW: dict[str, bytes] = {
    "plain": _header() + _QN,
    "opcode-iquery": _header(0x900) + _QN,
    "opcode-status": _header(0x1100) + _QN,
    "opcode-notify": _header(0x2100) + _QN,
    "opcode-update": _header(0x2900) + _QN,
    "opcode-15": _header(0x7900) + _QN,
    "response": _header(0x8100) + _QN,
    "no-question": _header(qd=0),
    "two-questions": _header(qd=2) + _QN + _QN,
    "two-promised": _header(qd=2) + _QN,
    "one-promised": _header(qd=1),
    "eleven-bytes": _header()[:11],
    "one-byte": b"\0",
    "empty": b"",
    "junk-after": _header() + _QN + b"junkjunk",
    "pointer-loop": _header() + b"\xc0\x0c\0\1\0\1",
    "pointer-ahead": _header() + b"\xc0\x20\0\1\0\1",
    "label-64": _header() + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
    "name-256": _header() + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1",
    "name-255": _header() + (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0\0\1\0\1",
    "name-cut": _header() + b"\5ho",
    "no-type": _header() + b"\5host1\0",
    "answer-in-query": _header(an=1) + _QN + dnswire.record("host1 5 A 1.1.1.1").pack(),
    "answer-missing": _header(an=1) + _QN,
    "additional-missing": _header(ar=1) + _QN,
    "two-opt": _header(ar=2) + _QN + dnswire.pack_edns(1232) * 2,
    "opt-version-1": _header(ar=1) + _QN + dnswire.pack_edns(1232, 0x10000),
    "tc-set": _header(0x300) + _QN,
    "aa-ra-set": _header(0x580) + _QN,
    "rcode-set": _header(0x105) + _QN,
    "dot-in-label": _header() + b"\5ho.t1" + _REST,
    "nul-in-label": _header() + b"\5ho\0t1" + _REST,
    "high-in-label": _header() + b"\5ho\xfft1" + _REST,
    "space-in-label": _header() + b"\5ho t1" + _REST,
    "class-0": _header() + b"\5host1\0\0\1\0\0",
}

LOCAL = """no-resolv
no-hosts
addn-hosts=$DIR/hosts
server=$UP
"""
ALONE = "no-resolv\nno-hosts\nserver=$UP\n"
HOSTS_FILE = {"hosts": HOSTS}

CASES: list[OracleCase] = [
    OracleCase(
        "hosts",
        LOCAL + "log-queries\n",
        """
host1 A
host1 AAAA
host1.lan A
HOST1.lan A
h1 A
host2 A
host2 AAAA
multi A *3
multi AAAA
mixed.lan A
other.lan A
good.lan A
bad..name A
tabbed.lan A
spaced.lan A
blocked.lan A
blocked.lan AAAA
host1 TXT
host1 MX
host1 ANY
host2 ANY
a.example.com A
a.example.com AAAA
lan A
1.1.1.10.in-addr.arpa PTR
2.1.1.10.in-addr.arpa PTR
4.1.1.10.in-addr.arpa PTR
2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa PTR
77.1.1.10.in-addr.arpa PTR
1.1.10.in-addr.arpa PTR
nothere.lan A
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "hosts with local-ttl",
        LOCAL + "local-ttl=33\n",
        """
host1 A
host2 AAAA
1.1.1.10.in-addr.arpa PTR
version.bind TXT class=CH
multi ANY
host1 A rd0
host1 A ad
host1 A cd
host1 A do
host1 A edns=4096
host1 A edns=100
host1 A tcp
host1 A tcp edns=1232
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "expand-hosts",
        LOCAL + "expand-hosts\ndomain=home.test\nlocal=/home.test/\nlog-queries\n",
        """
host1 A
host1.home.test A
host2.home.test AAAA
h1.home.test A
host1.lan.home.test A
1.1.1.10.in-addr.arpa PTR
2.1.1.10.in-addr.arpa PTR
5.1.1.10.in-addr.arpa PTR
home.test A
nothere.home.test A
multi.home.test A *2
host1.home.test MX
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "expand-hosts by subnet",
        LOCAL + "expand-hosts\ndomain=home.test\ndomain=net.test,10.1.1.0/30\ndomain=six.test,fd00:1::/64\n",
        """
host1.home.test A
host1.net.test A
host2.net.test A
host2.six.test AAAA
host2.home.test AAAA
multi.home.test A
multi.net.test A
1.1.1.10.in-addr.arpa PTR
4.1.1.10.in-addr.arpa PTR
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "addn-hosts directory",
        "no-resolv\nno-hosts\nserver=$UP\naddn-hosts=$DIR/h.d\n",
        """
one.lan A
two.lan A
hidden.lan A
tilde.lan A
hash.lan A
both.lan A
1.0.5.10.in-addr.arpa PTR
""",
        {
            "h.d/b": "10.5.0.2 two.lan both.lan\n",
            "h.d/a": "10.5.0.1 one.lan\n10.5.0.3 both.lan\n",
            "h.d/.hidden": "10.5.0.4 hidden.lan\n",
            "h.d/old~": "10.5.0.5 tilde.lan\n",
            "h.d/#x#": "10.5.0.6 hash.lan\n",
        },
    ),
    OracleCase(
        "host-record",
        ALONE + "host-record=rec.lan,rec2.lan,10.2.2.2,fd00::22,77\nhost-record=only4.lan,10.2.2.3\n"
        "host-record=only6.lan,fd00::23\nhost-record=rec3.lan,10.2.2.2\nhost-record=rec.lan,10.2.2.9\nlog-queries\n",
        """
rec.lan A *2
rec.lan AAAA
rec2.lan A
rec3.lan A
only4.lan A
only4.lan AAAA
only6.lan AAAA
only6.lan A
rec.lan ANY
rec.lan MX
2.2.2.10.in-addr.arpa PTR
9.2.2.10.in-addr.arpa PTR
2.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa PTR
sub.rec.lan A
lan A
""",
        log=True,
    ),
    OracleCase(
        "cname",
        LOCAL + "host-record=rec.lan,10.2.2.2,fd00::22,77\ncname=al.lan,rec.lan\ncname=al2.lan,al.lan,55\n"
        "cname=m1.lan,m2.lan,host1\ncname=dangling.lan,nowhere.lan\ncname=out.lan,a.example.com\n"
        "cname=*.wild.lan,rec.lan\nlocal-ttl=33\nlog-queries\n",
        """
al.lan A
al.lan AAAA
al.lan CNAME
al2.lan A
al2.lan CNAME
al2.lan ANY
m1.lan A
m2.lan A
m1.lan AAAA
al.lan MX
dangling.lan A
x.wild.lan A
wild.lan A
AL.LAN A
out.lan A
a.example.com A
al.lan A edns=1232
al2.lan A tcp
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "mx srv txt ptr naptr caa dns-rr",
        ALONE + "mx-host=mxl.lan,mail.lan,5\nmx-host=mxl.lan,mail2.lan,6\nmx-host=mxd.lan\nmx-target=mt.lan\n"
        "srv-host=_ldap._tcp.lan,ldap.lan,389,1,2\nsrv-host=_ldap._tcp.lan,ldap2.lan,390\nsrv-host=_none._tcp.lan\n"
        'txt-record=t.lan,"one","two words"\ntxt-record=t.lan,three\ntxt-record=te.lan\n'
        "ptr-record=9.9.9.10.in-addr.arpa,ptr.lan\nptr-record=svc._tcp.lan,inst.lan\nptr-record=empty.lan\n"
        "naptr-record=n.lan,10,20,u,sip,!a!b!,rep.lan\nnaptr-record=n2.lan,10,20,u,sip,!a!b!\n"
        "caa-record=caa.lan,0,issue,letsencrypt.org\ndns-rr=rr.lan,65,00010000\ndns-rr=rr2.lan,99,05:68 65-6c6c6f\n"
        "host-record=ldap.lan,10.3.3.3\nhost-record=mail.lan,10.3.3.4\nlocal-ttl=44\nlog-queries\n",
        """
mxl.lan MX *2
mxd.lan MX
mxl.lan A
mxl.lan ANY
_ldap._tcp.lan SRV *2
_none._tcp.lan SRV
_ldap._tcp.lan ANY
_LDAP._tcp.lan SRV
t.lan TXT
te.lan TXT
t.lan ANY
t.lan A
9.9.9.10.in-addr.arpa PTR
svc._tcp.lan PTR
empty.lan PTR
n.lan NAPTR
n2.lan NAPTR
n.lan ANY
caa.lan CAA
caa.lan A ! NOERROR : dnsmasq forgets that the name exists
rr.lan HTTPS
rr2.lan SPF
rr.lan A ! NOERROR : dnsmasq forgets that the name exists
rr.lan ANY
T.LAN TXT edns=1232
""",
        log=True,
    ),
    OracleCase(
        "srv-host with domain",
        ALONE + "domain=dom.test\nsrv-host=_ldap._tcp\nsrv-host=_http._tcp,www.dom.test,80\n",
        """
_ldap._tcp.dom.test SRV
_http._tcp.dom.test SRV
_ldap._tcp SRV
_http._tcp.other.test SRV
""",
    ),
    OracleCase(
        "address",
        ALONE + "address=/addr.test/198.51.100.4\naddress=/addr6.test/::5\naddress=/null.test/#\naddress=/nx.test/\n"
        "address=/two.test/198.51.100.5\naddress=/two.test/198.51.100.6\naddress=/x.addr.test/198.51.100.7\n"
        "address=/m1.test/m2.test/198.51.100.8\nlocal-ttl=22\nlog-queries\n",
        """
addr.test A
sub.addr.test A
x.addr.test A
y.x.addr.test A
addr.test AAAA
addr.test TXT
addr.test ANY
xaddr.test A
addr6.test AAAA
addr6.test A
null.test A
null.test AAAA
null.test MX
null.test ANY
nx.test A
x.nx.test MX
two.test A *2
m1.test A
m2.test A
ADDR.test A
addr.test A edns=1232
test A
""",
        log=True,
    ),
    OracleCase(
        "address for everything",
        ALONE + "address=/#/198.51.100.9\nserver=/example.com/$UP\n",
        """
anything.test A
single A
a.example.com A
anything.test AAAA
. A
anything.test TXT
""",
    ),
    OracleCase(
        "address without domain",
        ALONE + "address=198.51.100.9\n",
        """
anything.test A
anything.test AAAA
single A
a.example.com A
""",
    ),
    OracleCase(
        "local",
        LOCAL + "local=/loc.test/\nlocal=/lan/\nserver=/nofwd.test/\nserver=/allow.loc.test/#\nlog-queries\n",
        """
loc.test A
x.loc.test A
x.loc.test TXT
x.loc.test ANY
x.allow.loc.test A
host1.lan A
host1.lan AAAA
host1.lan TXT
nothere.lan A
lan A
lan SOA
sub.host1.lan A
nofwd.test A
loc.test A edns=1232
xloc.test A
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "split servers",
        ALONE + "server=/corp.test/$TWO\nserver=/sub.corp.test/$UP\nserver=/std.corp.test/#\nlog-queries\n",
        """
corp.test A
www.corp.test A
deep.sub.corp.test A
x.std.corp.test A
xcorp.test A
a.example.com A
CORP.test A
test A
single A
""",
        log=True,
    ),
    OracleCase(
        "wildcard servers",
        ALONE + "server=/*corp.test/$TWO\nserver=/*.dot.test/$TWO\n",
        """
corp.test A
xcorp.test A
www.corp.test A
a.xcorp.test A
dot.test A
a.dot.test A
acorp.tests A
""",
    ),
    OracleCase(
        "unqualified names",
        ALONE + "server=//$TWO\n",
        """
single A
single TXT
a.example.com A
. NS
www.corp.test A
""",
    ),
    OracleCase(
        "unqualified names are local",
        ALONE + "server=//\n",
        """
single A
single AAAA
single MX
a.example.com A
""",
    ),
    OracleCase(
        "server with several domains",
        "no-resolv\nno-hosts\nserver=/corp.test/example.com/$TWO\n",
        """
www.corp.test A
a.example.com A
single A
other.test A
other.test A edns=1232
""",
    ),
    OracleCase(
        "rev-server",
        ALONE + "rev-server=198.18.0.0/16,$TWO\nrev-server=10.0.0.0/24\nlog-queries\n",
        """
1.0.18.198.in-addr.arpa PTR
9.0.0.10.in-addr.arpa PTR
1.1.0.10.in-addr.arpa PTR
1.1.19.198.in-addr.arpa PTR
""",
        log=True,
    ),
    OracleCase(
        "domain-needed",
        LOCAL + "domain-needed\nlog-queries\n",
        """
single A
single AAAA
single MX
single ANY
host1 A
host1 AAAA
. A
. NS
a.example.com A
lan A
single A edns=1232
single A tcp
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "bogus-priv",
        LOCAL + "bogus-priv\nserver=/0.10.in-addr.arpa/$UP\nlog-queries\n",
        """
1.1.1.10.in-addr.arpa PTR
77.1.1.10.in-addr.arpa PTR
9.0.0.10.in-addr.arpa PTR
10.in-addr.arpa PTR
10.in-addr.arpa SOA
1.1.168.192.in-addr.arpa PTR
1.1.16.172.in-addr.arpa PTR
1.1.32.172.in-addr.arpa PTR
1.1.254.169.in-addr.arpa PTR
1.0.0.127.in-addr.arpa PTR
1.0.0.0.in-addr.arpa PTR
1.0.18.198.in-addr.arpa PTR
77.1.1.10.in-addr.arpa ANY
77.1.1.10.in-addr.arpa TXT
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa PTR
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa PTR
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa PTR
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.2.ip6.arpa PTR
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "bogus-nxdomain",
        ALONE + "bogus-nxdomain=198.18.66.66\nbogus-nxdomain=198.18.67.0/24\nbogus-nxdomain=2400:66::/32\n"
        "log-queries\n",
        """
bogus.example.com A *2
bogus.example.com A edns=1232
bogusnet.example.com A
bogus6.example.com AAAA
a.example.com A
bogus.example.com TXT
bogusnet.example.com A tcp
""",
        log=True,
    ),
    OracleCase(
        "ignore-address",
        "no-resolv\nno-hosts\nserver=$UP\nignore-address=198.18.66.66\n",
        """
bogus.example.com A wait=0.6
a.example.com A
""",
    ),
    OracleCase(
        "stop-dns-rebind",
        ALONE + "stop-dns-rebind\nrebind-domain-ok=/ok.test/\nlog-queries\n",
        """
priv.example.com A
priv.example.com A ! ~log : warnings of one name are counted for 5 s, not repeated
priv.example.com A edns=1232 ! ~log : warnings of one name are counted for 5 s, not repeated
mixed.example.com A ! ~log : dnsmasq logs the good address of an answer that it then refuses
cpriv.example.com A ! ~log : warnings of one name are counted for 5 s, not repeated
loop.example.com A
zeroaddr.example.com A
priv6.example.com AAAA
ll6.example.com AAAA
mapped.example.com AAAA
lo6.example.com AAAA
a.example.com A
priv.ok.test A
priv.example.com ANY
priv.example.com A tcp ! ~log : warnings of one name are counted for 5 s, not repeated
localhost A
""",
        log=True,
    ),
    OracleCase(
        "rebind-localhost-ok",
        ALONE + "stop-dns-rebind\nrebind-localhost-ok\n",
        """
loop.example.com A
zeroaddr.example.com A
lo6.example.com AAAA
priv.example.com A
mapped.example.com AAAA
""",
    ),
    OracleCase(
        "filter-AAAA",
        LOCAL + "filter-AAAA\nlog-queries\n",
        """
both.example.com A
both.example.com AAAA *2
both.example.com AAAA edns=1232
six.example.com AAAA
host2 AAAA
a.example.com AAAA ! ~upstream ~log : dnsmasq takes a name of a hosts file as proof too, ours asks
nowhere.example.com AAAA
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "filter-A",
        ALONE + "filter-A\n",
        """
both.example.com A
both.example.com AAAA
c1.example.com A
c1.example.com A
a.example.com A edns=1232
""",
    ),
    OracleCase(
        "filter-rr",
        ALONE + "filter-rr=HTTPS,TXT\n",
        """
https.example.com HTTPS
txt.example.com TXT
mx.example.com MX
a.example.com A
txt.example.com TXT edns=1232
txt.example.com TXT tcp
""",
    ),
    OracleCase(
        "filter-rr=ANY",
        ALONE + "filter-rr=ANY\n",
        """
both.example.com ANY
txt.example.com ANY
mx.example.com ANY
txt.example.com TXT
""",
    ),
    OracleCase(
        "synth-domain",
        ALONE + "synth-domain=syn.lan,10.7.7.0/24,ip-\nsynth-domain=plain.lan,10.8.8.1,10.8.8.20\n"
        "synth-domain=six.lan,fd00:9::/64,v6-\nsynth-domain=num.lan,10.9.9.10,10.9.9.20,n*\nlocal-ttl=11\nlog-queries\n",
        """
ip-10-7-7-9.syn.lan A
ip-10-7-7-9.syn.lan AAAA
ip-10-7-8-9.syn.lan A
ip-10-7-7-300.syn.lan A
10-8-8-5.plain.lan A
10-8-8-25.plain.lan A
9.7.7.10.in-addr.arpa PTR
5.8.8.10.in-addr.arpa PTR
25.8.8.10.in-addr.arpa PTR
v6-fd00-9--5.six.lan AAAA ! NOERROR NXDOMAIN : 2.93 writes such names out in full
v6-fd00-9--5.six.lan A ! NOERROR NXDOMAIN : 2.93 writes such names out in full
5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.0.0.0.0.0.d.f.ip6.arpa PTR ! NOERROR : written out in full by 2.93
n3.num.lan A
n30.num.lan A
13.9.9.10.in-addr.arpa PTR
syn.lan A
IP-10-7-7-9.SYN.lan A
""",
        log=True,
    ),
    OracleCase(
        "cache",
        ALONE + "log-queries\n",
        """
a.example.com A *3
two.example.com A *3
six.example.com AAAA *2
a.example.com AAAA *2
a.example.com TXT
a.example.com TXT ! ~upstream ~log : 2.90 caches NODATA of addresses only
c1.example.com A *2
c2.example.com A
c1.example.com AAAA ! ~log : dnsmasq shows the cached aliases of a chain whose end it must ask for
c1.example.com AAAA
c1.example.com CNAME ! ~flags : dnsmasq sets AA on a cached alias that is asked for as such
cx.example.com A *2
cother.example.com A *2
b.example.net A
1.0.18.198.in-addr.arpa PTR *2
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.2.ip6.arpa PTR *2
dname.example.com PTR *2 ! ~upstream ~log : 2.93 caches such records, 2.90 logs them oddly
_sip._tcp.example.com SRV *2
_two._tcp.example.com SRV *2
mx.example.com MX *2
txt.example.com TXT *2
nothere.example.com A *2
nothere.example.com AAAA
nothere.example.com TXT
nothere.other.test A *2
empty.other.test MX
zero.example.com A *2
a.example.com ANY *2 ! ~log : how records of ANY are shown
A.EXAMPLE.com A
UPPER.example.com A *2
upper.example.com A
a.example.com A edns=1232
a.example.com A do
a.example.com A cd ! ~answer_TTL : dnsmasq asked again for the DO bit
a.example.com A ad ! ~answer_TTL : dnsmasq asked again for the DO bit
a.example.com A rd0 ! ~answer_TTL ~upstream ~log : dnsmasq forwards what it has when RD is clear
caa.example.com CAA *2
https.example.com HTTPS *2
naptr.example.com NAPTR
localhost A
""",
        log=True,
    ),
    OracleCase(
        "cache over TCP",
        ALONE,
        """
a.example.com A tcp
a.example.com A
two.example.com A tcp
c1.example.com A tcp
nothere.example.com A tcp
big.example.com TXT tcp
huge.example.com TXT tcp
a.example.com A tcp edns=4096
version.bind TXT class=CH tcp
""",
    ),
    OracleCase(
        "cache-rr",
        ALONE + "cache-rr=MX,TXT,HTTPS,CAA,65535\n",
        """
mx.example.com MX *2
txt.example.com TXT *2
https.example.com HTTPS *2
caa.example.com CAA *2
naptr.example.com NAPTR *2
big.example.com TXT *2 ! NOERROR : 2.93 sends a client no more than it can take, 2.90 does
big.example.com TXT tcp
""",
    ),
    OracleCase(
        "cache-rr=ANY",
        ALONE + "cache-rr=ANY\nlog-queries\n",
        """
naptr.example.com NAPTR *2
mx.example.com MX *2
sshfp.example.com SSHFP *2
ns.example.com NS *2
nothere.example.com NAPTR *2
""",
        log=True,
    ),
    OracleCase(
        "no cache",
        ALONE + "cache-size=0\n",
        """
a.example.com A *2
nothere.example.com A *2
c1.example.com A *2
""",
    ),
    OracleCase(
        "no-negcache",
        ALONE + "no-negcache\n",
        """
nothere.example.com A *2
a.example.com AAAA *2
a.example.com A *2
""",
    ),
    OracleCase(
        "neg-ttl",
        ALONE + "neg-ttl=30\n",
        """
nothere.other.test A *2
nothere.example.com A *2
www.corp.test AAAA *2
""",
    ),
    OracleCase(
        "max-ttl",
        ALONE + "max-ttl=50\n",
        """
a.example.com A *2
long.example.com A *2
nothere.example.com A *2
c1.example.com A *2
""",
    ),
    OracleCase(
        "max-cache-ttl",
        ALONE + "max-cache-ttl=40\n",
        """
a.example.com A *2
long.example.com A *2
nothere.example.com A *2
""",
    ),
    OracleCase(
        "min-cache-ttl",
        ALONE + "min-cache-ttl=100\n",
        """
one.example.com A
sleep 1.3
one.example.com A
b.example.net A *2
zero.example.com A *2
nothere.example.com A *2
""",
    ),
    OracleCase(
        "use-stale-cache",
        ALONE + "use-stale-cache=3600\n",
        """
one.example.com A *2
sleep 2.2
one.example.com A edns=1232
""",
    ),
    OracleCase(
        "round robin off",
        LOCAL + "no-round-robin\n",
        """
multi A *3
two.example.com A *3
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "selfmx",
        LOCAL + "selfmx\n",
        """
host1 MX
host1.lan MX
nothere.lan MX
mx.example.com MX
h1 MX
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "localmx",
        LOCAL + "localmx\nmx-target=relay.lan\n",
        """
host1 MX
relay.lan MX
multi MX
mx.example.com MX
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "filterwin2k",
        LOCAL + "filterwin2k\nsrv-host=_ldap._tcp.lan,ldap.lan,389\nlog-queries\n",
        """
example.com SOA
_sip._tcp.example.com SRV
_ldap._tcp.lan SRV
_under.example.com ANY
_under.example.com A
a.example.com ANY
host1 SOA
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "CHAOS",
        ALONE,
        """
version.bind TXT class=CH ! NOERROR : the version is another
authors.bind TXT class=CH ! ANY : other people
copyright.bind TXT class=CH ! ANY : other people
cachesize.bind TXT class=CH
evictions.bind TXT class=CH
auth.bind TXT class=CH
hits.bind TXT class=CH
misses.bind TXT class=CH
insertions.bind TXT class=CH
servers.bind TXT class=CH
bind TXT class=CH
server TXT class=CH
version.bind A class=CH
cachesize.bind ANY class=CH
a.example.com A class=CH
cachesize.bind TXT ! NOERROR NXDOMAIN : the name is known in another class only
CacheSize.Bind TXT class=CH
cachesize.bind TXT class=CH edns=1232
foo.bind TXT class=CH ! NOTIMP NXDOMAIN REFUSED : 2.93 forwards it by mistake, 2.90 says NOTIMP
a.example.com A class=ANY
""",
    ),
    OracleCase(
        "no-ident",
        ALONE + "no-ident\n",
        """
version.bind TXT class=CH ! NXDOMAIN : 2.93 forwards it
cachesize.bind TXT class=CH ! NXDOMAIN : 2.93 forwards it
""",
    ),
    OracleCase(
        "alias",
        ALONE + "alias=198.18.9.1,10.4.4.1\nalias=198.18.9.64-198.18.9.127,10.4.5.0,255.255.255.0\n",
        """
alias1.example.com A *2
alias2.example.com A *2
a.example.com A
alias1.example.com A tcp
""",
    ),
    OracleCase(
        "localise-queries",
        LOCAL + "localise-queries\n",
        """
near A
near A to=127.0.0.2 ! NOERROR : an address of the subnet that no interface has
multi A
near ANY
host1 A
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "interface-name",
        ALONE + "interface-name=if.lan,lo\ninterface-name=if4.lan,lo/4\ninterface-name=gone.lan,nosuch0\n"
        "dynamic-host=dyn.lan,0.0.0.9,lo\nlocal-ttl=9\nlog-queries\n",
        """
if.lan A
if.lan AAAA
if4.lan A
if4.lan AAAA ! ~log : dnsmasq logs NODATA before it asks all the same
gone.lan A ! ~log : dnsmasq logs NODATA before it asks all the same
dyn.lan A
dyn.lan AAAA ! ~log : dnsmasq logs NODATA before it asks all the same
if.lan ANY
if.lan TXT
1.0.0.127.in-addr.arpa PTR
""",
        log=True,
    ),
    OracleCase(
        "auth-zone seen from inside",
        LOCAL + "auth-server=ns.auth.test\nauth-zone=auth.test,10.1.1.0/24\nauth-soa=7,host.auth.test\n"
        "host-record=www.auth.test,10.1.1.80\nhost-record=out.auth.test,10.99.1.80\ntxt-record=t.auth.test,hi\n"
        "mx-host=auth.test,www.auth.test,5\ncname=c.auth.test,www.auth.test\n",
        """
www.auth.test A
www.auth.test AAAA
out.auth.test A
t.auth.test TXT
auth.test MX
auth.test SOA
auth.test NS
c.auth.test A
nothere.auth.test A
80.1.1.10.in-addr.arpa PTR
a.example.com A
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "auth-zone on an interface",
        LOCAL + "auth-server=ns.auth.test,lo\nauth-zone=auth.test,10.1.1.0/24\nauth-soa=7,host.auth.test\nauth-ttl=99\n"
        "host-record=www.auth.test,10.1.1.80\nhost-record=out.auth.test,10.99.1.80\ntxt-record=t.auth.test,hi\n"
        "mx-host=auth.test,www.auth.test,5\ncname=c.auth.test,www.auth.test\ncname=*.w.auth.test,www.auth.test\n"
        "srv-host=_x._tcp.auth.test,www.auth.test,99\nauth-sec-servers=sec.auth.test\nlog-queries\n",
        """
www.auth.test A ! ~log : ours writes auth for all that the zone answers
www.auth.test AAAA ! ~log : ours writes auth for all that the zone answers
www.auth.test ANY ! ~log ~answer ~authority : dnsmasq gives ANY no addresses of a zone; RFC 1035 s.3.2.3 wants all
out.auth.test A ! ~log : ours writes auth for all that the zone answers
t.auth.test TXT ! ~log : ours writes auth for all that the zone answers
auth.test MX ! ~log : ours writes auth for all that the zone answers
auth.test SOA ! ~log : ours writes auth for all that the zone answers
auth.test NS ! ~log : ours writes auth for all that the zone answers
auth.test A ! ~log : ours writes auth for all that the zone answers
c.auth.test A ! ~log : ours writes auth for all that the zone answers
x.w.auth.test A ! ~log : ours writes auth for all that the zone answers
_x._tcp.auth.test SRV ! ~log : ours writes auth for all that the zone answers
nothere.auth.test A
80.1.1.10.in-addr.arpa PTR ! ~log : ours writes auth for all that the zone answers
1.1.10.in-addr.arpa SOA ! ~log : ours writes auth for all that the zone answers
1.1.10.in-addr.arpa NS ! ~log : ours writes auth for all that the zone answers
99.1.1.10.in-addr.arpa PTR ! ~log : ours writes auth for all that the zone answers
a.example.com A
host1 A
www.auth.test A edns=1232 ! ~log : ours writes auth for all that the zone answers
www.auth.test A rd0 ! ~log : ours writes auth for all that the zone answers
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "no upstream",
        "no-resolv\nno-hosts\nhost-record=rec.lan,10.2.2.2\nlog-queries\n",
        """
x.example A
single A
x.example TXT
x.example A edns=1232
x.example A tcp
x.example A tcp edns=1232
rec.lan A
rec.lan AAAA
rec.lan TXT
lan A
sub.rec.lan A
. NS
""",
        log=True,
    ),
    OracleCase(
        "no upstream and domain-needed",
        "no-resolv\nno-hosts\ndomain-needed\n",
        """
x.example A
single A
single A edns=1232
single A tcp ! NXDOMAIN REFUSED : 2.90 says NXDOMAIN over TCP, 2.93 REFUSED
single TXT
""",
    ),
    OracleCase(
        "EDNS sizes and truncation",
        ALONE,
        """
big.example.com TXT ! NOERROR : 2.93 sends a client no more than it can take, 2.90 does
big.example.com TXT edns=512 ! NOERROR : 2.93 sends a client no more than it can take, 2.90 does
big.example.com TXT edns=1232
big.example.com TXT edns=4096
big.example.com TXT tcp
huge.example.com TXT
huge.example.com TXT edns=1232
huge.example.com TXT edns=4096
huge.example.com TXT tcp
trunc.example.com A
trunc.example.com A edns=1232
trunc.example.com A tcp
a.example.com A edns=0
a.example.com A edns=65535
a.example.com A do edns=1400
a.example.com A edns=1232 opt=10:0102030405060708
""",
    ),
    OracleCase(
        "edns-packet-max",
        ALONE + "edns-packet-max=600\n",
        """
big.example.com TXT edns=4096 ! NOERROR : 2.93 sends a client no more than it can take, 2.90 does
a.example.com A edns=4096
host-unknown.example.com A edns=4096
a.example.com A
""",
    ),
    OracleCase(
        "many addresses in hosts",
        "no-resolv\nno-hosts\nserver=$UP\naddn-hosts=$DIR/many\n",
        """
many A ! NOERROR : what of an answer that is too long is sent differs
many A tcp
many A edns=1232
few A
""",
        {"many": "".join(f"10.6.0.{i} many\n" for i in range(1, 61)) + "10.6.1.1 few\n"},
    ),
    OracleCase(
        "upstream errors",
        ALONE + "log-queries\n",
        """
servfail.example.com A
servfail.example.com A edns=1232 ! ~log : the only server is not asked a second time
refused.example.com A ! ~log : the only server is not asked a second time
formerr.example.com A ! ~log : 2.93 names the error, 2.90 gives its number
notimp.example.com A
nora.example.com A *2 ! ~log ~upstream : 2.93 does not cache the answer of a server that does not recurse
aa.example.com A *2
ad.example.com A
noopt.example.com A edns=1232 ! ~EDNS_size : RFC 6891 s.7 wants an OPT in the answer
ede.example.com A edns=1232
lie.example.com A wait=0.6
wrongid.example.com A wait=0.6
wrongport.example.com A wait=0.6
garbage.example.com A wait=0.6 ! SERVFAIL SILENCE FORMERR NOERROR : versions differ on replies that are not well-formed
servfail.example.com A tcp
""",
        log=True,
    ),
    OracleCase(
        "proxy-dnssec",
        ALONE + "proxy-dnssec\n",
        """
ad.example.com A
ad.example.com A ad
ad.example.com A do
a.example.com A do
""",
    ),
    OracleCase(
        "log-queries=extra",
        LOCAL + "log-queries=extra\nlocal=/loc.test/\naddress=/addr.test/198.51.100.4\n",
        """
a.example.com A *2
c1.example.com A *2
host1 A
x.loc.test A
addr.test A
nothere.example.com A *2
a.example.com AAAA *2
1.1.1.10.in-addr.arpa PTR
servfail.example.com A ! ~log : the only server is not asked a second time
txt.example.com TXT
mx.example.com MX
_sip._tcp.example.com SRV *2
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "odd types and classes",
        LOCAL + "log-queries\n",
        """
host1 AXFR
host1 IXFR
host1 MAILB
mailb.example.com MAILB
host1 MAILA
a.example.com TYPE0 ! ~log : 2.93 writes type=0
a.example.com TYPE65280
a.example.com TYPE65535
a.example.com OPT
host1 A class=HS
host1 A class=CH
host1 A class=ANY
host1 RRSIG
a.example.com DS
a.example.com DNSKEY
example.com NS
. SOA
. DS
_under.example.com A
printer.local A
""",
        HOSTS_FILE,
        log=True,
    ),
    OracleCase(
        "odd packets",
        LOCAL,
        """
raw plain
raw opcode-iquery ! NOTIMP : 2.93 answers NOTIMP, 2.90 forwards
raw opcode-status ! NOTIMP : 2.93 answers NOTIMP, 2.90 forwards
raw opcode-notify ! NOTIMP : 2.93 answers NOTIMP, 2.90 forwards
raw opcode-update ! NOTIMP : 2.93 answers NOTIMP, 2.90 forwards
raw opcode-15 ! NOTIMP : 2.93 answers NOTIMP, 2.90 forwards
raw response
raw no-question ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw two-questions ! REFUSED FORMERR NOERROR : versions differ on bad bodies
raw two-promised ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw one-promised ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw eleven-bytes
raw one-byte
raw empty
raw junk-after ! NOERROR FORMERR : 2.90 does not look behind the question
raw pointer-loop ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw pointer-ahead ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw label-64 ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw name-255
raw name-256 ! REFUSED FORMERR SILENCE : 2.90 lets longer names pass
raw name-cut ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw no-type ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw answer-in-query ! REFUSED FORMERR NOERROR : versions differ on bad bodies
raw answer-missing ! REFUSED FORMERR SILENCE : versions differ on bad bodies
raw additional-missing ! REFUSED FORMERR NOERROR : 2.90 does not look behind the question
raw two-opt ! REFUSED FORMERR NOERROR : 2.90 takes the first
raw opt-version-1 ! NOERROR BADVERS : 2.90 knows no EDNS versions
raw tc-set
raw aa-ra-set
raw rcode-set
raw dot-in-label
raw nul-in-label
raw high-in-label
raw space-in-label
raw class-0
""",
        HOSTS_FILE,
    ),
    OracleCase(
        "resolv-file",
        "no-hosts\nresolv-file=$DIR/resolv\nport=$PORT\n",
        """
a.example.com A wait=0.6
nothere.example.com A wait=0.6
""",
        {"resolv": "# remark\nnameserver 127.0.0.1\noptions edns0\n"},
    ),
    OracleCase(
        "servers-file",
        "no-resolv\nno-hosts\nservers-file=$DIR/servers\n",
        """
a.example.com A
www.corp.test A
9.0.0.10.in-addr.arpa PTR
""",
        {"servers": "server=$UP\n# remark\nserver=/corp.test/$TWO\nrev-server=10.0.0.0/8,$TWO\n"},
    ),
    OracleCase(
        "conf-file and conf-dir",
        "no-resolv\nno-hosts\nconf-file=$DIR/more.conf\nconf-dir=$DIR/c.d,*.conf\n",
        """
one.lan A
two.lan A
three.lan A
four.lan TXT
a.example.com A
""",
        {
            "more.conf": "host-record=one.lan,10.1.0.1 # remark\n  server = $UP\n",
            "c.d/a.conf": "host-record=two.lan,10.1.0.2\n\n# remark\n",
            "c.d/b.txt": "host-record=three.lan,10.1.0.3\n",
            "c.d/z.conf": 'txt-record=four.lan,"a,b \\"q\\" \\t#x"\n',
        },
    ),
    OracleCase(
        "add-subnet and add-mac parse",
        ALONE + "add-subnet=24,56\nadd-cpe-id=abc\nstrip-subnet\nstrip-mac\n",
        """
a.example.com A *2
nothere.example.com A *2
a.example.com A edns=1232
""",
    ),
    OracleCase(
        "strict-order and all-servers",
        "no-resolv\nno-hosts\nserver=$UP\nserver=$TWO\nstrict-order\n",
        """
a.example.com A
bogus.example.com A
servfail.example.com A wait=1 ! SERVFAIL : 2.90 stays silent when all fail
""",
    ),
    OracleCase(
        "block lists",
        ALONE + "".join(f"local=/b{i}.block.test/\naddress=/n{i}.block.test/#\n" for i in range(50)),
        """
b1.block.test A
x.b49.block.test A
b50.block.test A
n1.block.test A
n1.block.test AAAA
x.y.n49.block.test A
n1.block.test TXT
block.test A
""",
    ),
]
