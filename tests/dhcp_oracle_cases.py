"""Configurations and DHCPv4 packets that are put to dnsmasq and to pydnsmasq alike.

A packet is one line: `KIND CLIENT [words] -> OUTCOME`.  KIND is discover, request,
decline, release, inform, leasequery or bootp; `dora` is a discover and the request
that takes its offer.  CLIENT is mN, the client's N-th MAC address, or one in hex.
OUTCOME is what dnsmasq answers: OFFER, ACK, NAK, BOOTP or SILENCE; without it what one
hopes for: OFFER, ACK (OFFER ACK after dora), BOOTP.  Words:

    req= sid= subnet= name= vendor= user= clid= prl= lease= size= rapid= fqdn=FLAGS:NAME   options
    oN=HEX oN='TEXT                                  any other option; %20 is a blank
    pxe=ARCH item=TYPE.LAYER                         a boot ROM's options 60, 93, 94, 97; 43
    circuit= remote= subscr= link= over=             suboptions of option 82, HEX or 'TEXT
    ci= yi= si= gi= hops= secs= flags= htype= op= sname= file=                             header
    bcast                      the broadcast flag    uni           to the server's address
    on=up1                     the other interface   to= from=     IP addresses
    sport= dport=              UDP ports             noend nopad   no end option, no padding

An address `.` is the one that this client was given last.  Other lines: `sleep
SECONDS`, `dns NAME TYPE`, `leases` (compare the lease files now), `sockets` (compare
where the servers listen), `write FILE` (with its text of `later`), `watch FILE`
(write it and wait until it is read), `hup`, `restart`.  After ` ! ` stands an
expected difference as in `oracle_cases.py`: ANY or words like `~log` (the starts of
complaints: log, target, yiaddr, options, lease order ...), a colon and the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class DhcpCase:
    """One configuration, the files it needs and the packets."""

    name: str
    conf: str
    exchanges: str
    files: dict[str, str] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)
    ip: tuple[str, ...] = ()  # `s:` or `c:`, then a command for ip in that namespace
    differs: str = ""  # what is never compared, as in a line: `~lease_order : reason`
    dns: str = "10.77.1.1"  # where names are asked


def column(text: str, number: int) -> str:
    """Lines that give two outcomes, `A | B`, with the one of them."""
    lines = [line.partition(" -> ") for line in text.splitlines()]
    return "".join(head + arrow + outcomes.split(" | ")[-number:][0] + "\n" for head, arrow, outcomes in lines)


QUIET = "no-resolv\nno-hosts\nno-ping\ndhcp-leasefile=$DIR/leases\n"
BASE = QUIET + "log-dhcp\n"
RANGE = "dhcp-range=10.77.1.50,10.77.1.150,1h\n"
POOL = BASE + RANGE
HOSTS = POOL.replace("no-hosts\n", "no-hosts\naddn-hosts=$DIR/hosts\n")
ALL = "prl=1,3,6,12,15,28,42,43,51,54,58,59,66,67,119,120,121,125,150,249"
SID = "sid=10.77.1.1"
L60, L100, L200 = "x" * 60, "y" * 100, "z" * 200

OPTION_VALUES = """\
option:router,10.77.1.254; 6,10.77.1.8,0.0.0.0; 41,0.0.0.0; option:ntp-server,10.77.1.9; option:mtu,1400
19,1; option:time-offset,-3600; 23,64; 35,60; option:nis-domain,nis.test
option:domain-search,a.test,b.a.test,c.test; 121,10.1.0.0/16,10.77.1.2,0.0.0.0/0,10.77.1.3
249,10.1.2.3/32,10.77.1.2; option:sip-server,10.77.1.5,10.77.1.6; 12,forced-name; 15,opt.test
28,10.77.1.254; 1,255.255.0.0; 208; 209,"quoted text"; 210,01:02:fe; 211,300; 212,5b; 213,5s; 214,5i
215,70000; 216,1.2.3.4,5.6.7.8; 217,a,b,c; 218,[fd00::1]; 219,0x12; 220,/a/path; 222,-1; 224,"1.2.3.4"
225,00:11; 227,aa; 228,10m; 229,255; 230,256; 232,10.0.0.0/8
option:tzdb-timezone,Europe/Vienna; 60,vendorly; 77,klass; 116,00; 81,text"""
HASH_MACS = """
79b97f4a7c15 7372fe94f82a 6d2c7ddf743f 66e5fd29f054 609f7c746c69 5a58fbbee87e 54127b096493 4dcbfa53e0a8
413ef8e8d8d2 34b1f77dd0fc 2e6b76c84d11 2824f612c926 21de755d453b 1b97f4a7c150 155173f23d65 0f0af33cb97a
027df1d1b1a4 7c37711c2db9 75f0f066a9ce 6faa6fb125e3 6963eefba1f8 631d6e461e0d 5cd6ed909a22 56906cdb1637
"""

UNNAMED = (91, 92, 114)  # 2.90 has no names for these
OPTIONS_BY_NAME = """
netmask,255.255.254.0 time-offset,7200 router,10.77.1.254 dns-server,10.77.1.8 log-server,10.77.1.8,10.77.1.9
lpr-server,10.77.1.7 boot-file-size,20 domain-name,named.test swap-server,10.77.1.6 root-path,/root
extension-path,/ext ip-forward-enable,1 non-local-source-routing,0 policy-filter,10.1.0.0,255.255.0.0
max-datagram-reassembly,1000 default-ttl,33 mtu,1300 all-subnets-local,1 router-discovery,0
router-solicitation,10.77.1.5 static-route,10.1.1.1,10.77.1.4 trailer-encapsulation,1 arp-timeout,90
ethernet-encap,1 tcp-ttl,44 tcp-keepalive,70000 nis-domain,nis nis-server,10.77.1.3 ntp-server,10.77.1.2
netbios-ns,10.77.1.1 netbios-dd,10.77.1.9 netbios-nodetype,8 netbios-scope,scope x-windows-fs,10.77.1.9
x-windows-dm,10.77.1.9 T1,20m T2,40m vendor-class,vc nis+-domain,nisplus nis+-server,10.77.1.9
tftp-server,tftp.test bootfile-name,boot.named mobile-ip-home,10.77.1.9 smtp-server,10.77.1.9
pop3-server,10.77.1.9 nntp-server,10.77.1.9 irc-server,10.77.1.9 user-class,uc client-arch,7
client-interface-id,01:02:03 client-machine-id,00:11 posix-timezone,CET-1CEST tzdb-timezone,Europe/Vienna
ipv6-only,1800 domain-search,s1.test,s2.test sip-server,sip.test classless-static-route,10.0.0.0/8,10.77.1.9
tftp-server-address,10.77.1.9 server-ip-address,10.77.1.33 RAPID-commit
"""

STRINGS = r"""dhcp-option=200,"a,b"
dhcp-option=202,a\tb
dhcp-option=203,"tab\tnl\nq\"x"
dhcp-option=204,"  blanks  "
dhcp-option=205, lead
dhcp-option=206,a#b
dhcp-option=207,a #b
dhcp-option=208,"a # b"
dhcp-option=209,it's
dhcp-option=211,http://a.test/c?d=e&f=g
dhcp-option=212,"01:02:03"
dhcp-option=213,01:02
dhcp-option=214,1:2:3
dhcp-option=216,0x1234
dhcp-option=219,00:01:zz
dhcp-option=220,/1.2.3.4
dhcp-option=221,"/path",two
dhcp-option=223,1.2.3.4,abc
dhcp-option=228,"\x41\\"
dhcp-option=229,\bell\a
dhcp-option=233,1.2.3.4/24
dhcp-option=235,4294967295
dhcp-option=236,-5
dhcp-option=237,65536
dhcp-option=243,,
dhcp-option=244,a,
dhcp-option=252,"\n"
"""
MATCHES = """\
dhcp-match=set:a1,option:router
dhcp-match=set:a2,option:ntp-server,1.2.3.4
dhcp-match=set:a3,option:hostname,host
dhcp-match=set:a4,option:client-arch,9
dhcp-match=set:a5,224,01:02
dhcp-match=set:a6,224,01:*:03
dhcp-match=set:a7,225,text
dhcp-match=set:a8,226,5
dhcp-match=set:a9,226,300
dhcp-match=set:b1,227,1.2.3.4
dhcp-match=set:b2,option:vendor-class,"quoted, comma"
dhcp-match=set:b3,option:user-class,acct
dhcp-match=set:b4,vi-encap:9
dhcp-match=set:b5,vi-encap:9,text
dhcp-match=set:b6,option:client-machine-id,00:11:22
dhcp-match=set:b7,option:mtu,1500
dhcp-match=set:b8,55
dhcp-match=set:c1,53
dhcp-match=set:c4,option:requested-address,10.77.1.99
dhcp-match=set:c6,82
dhcp-match=set:c8,option:domain-search,a.test
dhcp-match=set:d3,61,text
dhcp-match=set:d5,option:domain-name,abc
dhcp-match=set:d6,224,"01:02"
"""

# Where the server is authoritative the second outcome holds.
STATES = f"""
discover m1
discover m1 bcast
discover m1 req=10.77.1.77 lease=600
request m1 req=. {SID}
request m1 ci=. uni
request m1 ci=.
request m1 req=.
discover m1
discover m1 req=10.77.1.51
request m1 req=10.77.1.51 {SID}
request m2 req=10.77.1.99 -> SILENCE | ACK
request m2 req=10.9.9.9 -> SILENCE | NAK
request m2 req=10.77.1.9 -> SILENCE | NAK
request m3 ci=10.77.1.98 uni -> NAK | ACK
request m3 ci=10.77.1.98 -> SILENCE | ACK
request m3 ci=10.9.9.9 -> SILENCE
request m1 req=10.77.1.97 -> NAK
request m1 req=10.9.9.9 -> NAK
request m4 req=10.77.1.60 sid=10.77.1.99 -> SILENCE | NAK
request m4 req=10.77.1.60 sid=10.77.2.1 -> SILENCE | NAK
request m4 req=10.77.1.60 {SID}
request m5 req=10.77.1.60 {SID} -> NAK
request m5 req=10.77.1.1 {SID} -> NAK
request m5 req=10.77.1.200 {SID} -> NAK
request m5 req=10.9.9.9 {SID} -> NAK
request m5 {SID} -> SILENCE | NAK
request m5 -> SILENCE | NAK
discover m5 sid=10.77.1.99
discover m5 on=up1 -> SILENCE
request m4 req=. sid=10.77.1.99 -> SILENCE | NAK
request m4 ci=. uni
release m4 ci=. sid=10.77.1.99 uni
release m4 ci=10.77.1.61 {SID} uni
release m4 ci=10.77.1.60 {SID} uni
release m4 ci=10.77.1.60 {SID} uni
request m4 req=10.77.1.60 -> SILENCE | ACK
inform m7 ci=10.77.1.200 uni
decline m1 req=10.77.1.51 {SID}
discover m1
discover m8 rapid=
discover m1 op=2 -> SILENCE
discover m1 o53=09
leasequery m1 ci=10.77.1.51 uni gi=10.77.1.2 ! ~log : 2.90 does not know the message
"""

CASES: list[DhcpCase] = [
    # -- states of a client ------------------------------------------------------------
    DhcpCase("states", POOL, column(STATES, 0)),
    DhcpCase("states authoritative", POOL + "dhcp-authoritative\n", column(STATES, 1)),
    DhcpCase("states without log-dhcp", QUIET + RANGE, column(STATES, 0)),
    DhcpCase("states quiet", QUIET + RANGE + "quiet-dhcp\n", column(STATES, 0)),
    DhcpCase(
        "decline and release",
        POOL + "dhcp-host=m2.example,02:00:00:00:aa:02,10.77.1.20\ndhcp-host=02:00:00:00:aa:03,10.77.1.21,fixed\n",
        f"""
dora m1
decline m1 req=. {SID}
discover m1
dora m1
decline m1 req=. {SID}
discover m1
discover m4
dora m2
decline m2 req=. sid=10.77.1.99
decline m2 req=. {SID}
discover m2
request m2 req=10.77.1.20 {SID}
decline m3 req=10.77.1.21 {SID}
discover m3
decline m5 req=10.77.1.99 {SID}
decline m5 {SID}
decline m5 req=10.9.9.9 {SID}
decline m5 req=10.77.1.90
dora m6
release m6 ci=. uni
release m6 ci=. {SID} uni
release m6 ci=. {SID} uni
release m6 {SID} uni
""",
    ),
    DhcpCase(
        "inform",
        POOL + "domain=lan.test\ndhcp-option=42,10.77.1.9\ndhcp-host=02:00:00:00:aa:03,hosted\n"
        "dhcp-host=02:00:00:00:aa:04,ignore\n",
        f"""
inform m1 ci=10.77.1.200 uni
inform m1 ci=10.77.1.200
inform m1 ci=10.77.1.200 {ALL} name=me
inform m2 -> SILENCE
inform m2 req=10.77.1.99 -> SILENCE
inform m2 ci=10.9.9.9 -> SILENCE
inform m3 ci=10.77.1.201 {ALL}
dora m3 prl=1,3
inform m3 ci=. prl=51,6,15,12,42 uni
inform m3 ci=. prl=6 uni
inform m4 ci=10.77.1.204 uni -> SILENCE
inform m5 ci=10.77.1.205 vendor=MSFT%205.0 prl=43,249,6
inform m6 ci=10.77.1.206 gi=10.77.1.2
""",
    ),
    DhcpCase(
        "rapid commit",
        POOL + "dhcp-rapid-commit\ndhcp-host=02:00:00:00:aa:03,10.77.1.30,fast\n",
        f"""
discover m1 rapid= -> ACK
discover m2
discover m3 rapid= name=other -> ACK
discover m1 rapid= req=10.77.1.60 -> ACK
request m2 req=10.77.1.70 {SID} rapid=
discover m4 rapid= bcast prl=1,3 -> ACK
""",
    ),
    DhcpCase(
        "moving between networks",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,1h\ndhcp-range=10.77.2.50,10.77.2.150,2h\n"
        "dhcp-host=02:00:00:00:aa:02,10.77.1.20,home\ndhcp-host=02:00:00:00:aa:03,10.77.1.30\n"
        "dhcp-host=02:00:00:00:aa:03,10.77.2.30\ndhcp-option=tag:known-othernet,224,away\n",
        """
dora m1 name=one
request m1 req=. on=up1 -> NAK
request m1 ci=. on=up1
dora m1 on=up1 name=one
leases
request m1 req=10.77.1.150 -> NAK
dora m1 name=one
dora m2
dora m2 on=up1
dora m3
dora m3 on=up1
request m3 ci=10.77.1.30 uni -> NAK
request m3 ci=10.77.2.30 uni on=up1
dora m4 on=up1 req=10.77.1.60
release m4 ci=. sid=10.77.1.1 on=up1 uni
release m4 ci=. sid=10.77.2.1 on=up1 uni
inform m5 ci=10.77.1.99 on=up1
""",
    ),
    DhcpCase(
        "clients and their ids",
        POOL,
        """
dora m1 clid=01020000aa01
dora m1
dora m1 clid=ff0001
dora m1 clid=01020000aa01
dora m2 clid=01020000aa01
leases
dora m2
request m1 ci=. uni clid=ff0001 -> NAK
dora m3
request m3 ci=. uni clid=0303 name=three
leases
request m3 ci=. uni
release m3 ci=. sid=10.77.1.1 clid=0304 uni
release m3 ci=. sid=10.77.1.1 clid=0303 uni
discover m3
""",
    ),
    DhcpCase(
        "a delayed reply",
        POOL + "dhcp-reply-delay=tag:slow,1\ndhcp-mac=set:slow,02:00:00:00:aa:01\n",
        "dora m1\ndora m2\n",
    ),
    DhcpCase(
        "old spellings",
        BASE + "dhcp-range=net:red,10.77.1.50,10.77.1.59,1h\ndhcp-range=pool,10.77.1.60,10.77.1.69,1h\n"
        "dhcp-vendorclass=red,RED\ndhcp-mac=blue,02:00:00:00:aa:01\ndhcp-option=red,224,red\n"
        "dhcp-option=net:blue,225,blue\ndhcp-option=net:#blue,225,not-blue\ndhcp-option=pool,226,pool\n"
        "dhcp-boot=net:red,red.img\ndhcp-host=02:00:00:00:aa:02,net:two,10.77.1.20\ndhcp-option=net:two,227,two\n"
        "dhcp-ignore=blue,two\ndhcp-ignore-names=red\n",
        "discover m1\ndiscover m1 vendor=RED\ndora m2 vendor=RED name=two\ndora m3\n",
    ),
    # -- BOOTP -----------------------------------------------------------------------
    DhcpCase(
        "bootp static",
        POOL + "dhcp-host=02:00:00:00:aa:01,10.77.1.20,booter\ndhcp-host=02:00:00:00:aa:02,10.77.1.21,timed,10m\n"
        "dhcp-boot=boot.img,bootsrv,10.77.1.9\ndhcp-option=42,10.77.1.8\ndhcp-option=17,/root/path\n"
        "dhcp-host=02:00:00:00:aa:05,ignore\n",
        """
bootp m1
bootp m1 bcast
bootp m1 file='special
bootp m1 sname='bootsrv
bootp m1 sname='elsewhere
bootp m2
bootp m3 -> SILENCE
bootp m5 -> SILENCE
bootp m1 ci=10.77.1.20 uni
bootp m1 gi=10.77.1.2
bootp m1 prl=42 nopad
bootp m1 noend
dora m1
""",
    ),
    DhcpCase(
        "bootp dynamic",
        POOL + "bootp-dynamic\ndhcp-option=tag:bootp,42,10.77.1.8\ndhcp-boot=tag:special,other.img\n"
        "dhcp-ignore=tag:bad\n",
        """
bootp m1
bootp m1
bootp m2 file='special
bootp m3 file='bad -> SILENCE
dora m4
bootp m4
dora m1
""",
    ),
    DhcpCase(
        "bootp dynamic with tags",
        POOL + "bootp-dynamic=tag:good\ndhcp-mac=set:good,02:00:00:00:aa:02\n",
        "bootp m1 -> SILENCE\nbootp m2\n",
    ),
    # -- times -----------------------------------------------------------------------
    DhcpCase(
        "lease times",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,20m\ndhcp-host=02:00:00:00:aa:02,10.77.1.20,infinite\n"
        "dhcp-host=02:00:00:00:aa:03,2d\ndhcp-host=02:00:00:00:aa:04,30\ndhcp-host=02:00:00:00:aa:05,10.77.1.25,3w\n"
        "dhcp-range=10.77.5.50,10.77.5.150,255.255.255.0,infinite\ndhcp-range=10.77.6.50,10.77.6.150,255.255.255.0\n"
        "dhcp-range=10.77.7.50,10.77.7.150,255.255.255.0,5\n",
        """
dora m1
dora m1 lease=60
dora m1 lease=120
dora m1 lease=121
dora m1 lease=600
dora m1 lease=7200
dora m1 lease=4294967295
dora m2
dora m2 lease=600
dora m2 lease=4294967295
dora m3
dora m4
dora m5
leases
request m1 ci=. uni
request m1 ci=. uni lease=600
request m2 ci=. uni
request m3 ci=. uni
discover m1 o51=003c
dora m6 gi=10.77.5.1
dora m7 gi=10.77.5.1 lease=600
request m6 ci=. gi=10.77.5.1
dora m8 gi=10.77.6.1
dora m9 gi=10.77.7.1
dora m9 gi=10.77.7.1 lease=119
""",
    ),
    DhcpCase(
        "T1 and T2",
        POOL + "dhcp-option=option:T1,100\ndhcp-option=tag:two,option:T2,10m\ndhcp-mac=set:two,02:00:00:00:aa:02\n"
        "dhcp-option=tag:mad,58,2h\ndhcp-option=tag:mad,59,60\ndhcp-mac=set:mad,02:00:00:00:aa:03\n"
        "dhcp-option=tag:over,59,30m\ndhcp-option=tag:over,58,40m\ndhcp-mac=set:over,02:00:00:00:aa:04\n",
        """
dora m1
dora m2
dora m3
dora m4
dora m1 lease=130
request m1 ci=. uni
""",
    ),
    DhcpCase(
        "prefilled leases",
        POOL + "domain=lan.test\n",
        f"""
discover m1
discover m2
request m2 req=10.77.1.91
request m4 req=10.77.1.92 -> SILENCE
leases
dns one A
dns one.lan.test A
dns 90.1.77.10.in-addr.arpa PTR
dora m5 name=five
sleep 4
dns soon.lan.test A
discover m6 req=10.77.1.93
dora m7 name=one
leases
restart
leases
dns five.lan.test A
request m5 ci=. uni
request m1 req=10.77.1.90 {SID}
""",
        files={
            "leases": "$HOUR 02:00:00:00:aa:01 10.77.1.90 one 01:02:00:00:00:aa:01\n"
            "0 02:00:00:00:aa:02 10.77.1.91 * *\n"
            "$HOUR 06-02:00:00:00:aa:04 10.77.1.92 other *\n"
            "$SOON 02:00:00:00:aa:03 10.77.1.93 soon *\n"
            "$PAST 02:00:00:00:aa:08 10.77.1.94 past *\n"
        },
        differs="~lease_order : dnsmasq turns the order round at each start",
    ),
    # -- room in the packet ------------------------------------------------------------
    DhcpCase(
        "overload",
        POOL + f"dhcp-option=224,{L200}\ndhcp-option=225,{L100}\ndhcp-option=226,{L60}\ndhcp-option=227,{L60}\n",
        """
discover m1
discover m1 size=576
discover m1 size=300
discover m1 size=1500
discover m1 size=600
discover m1 prl=224
discover m1 prl=224,225
dora m1 size=576
""",
    ),
    DhcpCase(
        "overload to the brim",
        POOL + f"dhcp-option=224,{L200}\ndhcp-option=225,{L200}\ndhcp-option=226,{L200}\ndhcp-option=227,{L60}\n"
        f"dhcp-option=228,{L60}\ndhcp-option=229,{L60}\n",
        "discover m1\ndiscover m1 size=900\ndiscover m1 prl=224,225,226\ndiscover m1 prl=227,226,225,228\n"
        "discover m1 circuit='port\n",
    ),
    DhcpCase(
        "overload beside a boot file",
        POOL + f"dhcp-boot=pxelinux.0,bootsrv,10.77.1.9\ndhcp-option=224,{L200}\ndhcp-option=225,{L200}\n",
        f"""
discover m1
discover m1 prl=66,67,224,225
discover m1 prl=66,224,225
discover m1 prl=67,224,225
dora m1 {ALL}
""",
    ),
    DhcpCase(
        "no override",
        POOL + f"dhcp-no-override\ndhcp-boot=pxelinux.0,bootsrv,10.77.1.9\ndhcp-option=224,{L200}\n"
        f"dhcp-option=225,{L200}\n",
        "discover m1 prl=66,67\ndiscover m1 prl=224,225\ndiscover m1\n",
    ),
    DhcpCase(
        "boot data longer than its fields",
        POOL + f"dhcp-boot={L200},{L100},10.77.1.9\n",
        "discover m1\ndiscover m1 prl=66,67\n",
    ),
    DhcpCase(
        "long encapsulated options",
        POOL + f"dhcp-option=vendor:big,1,{L200}\ndhcp-option=vendor:big,2,{L200}\ndhcp-option=vendor:big,3,{L60}\n"
        f"dhcp-option=encap:175,1,{L200}\ndhcp-option=encap:175,2,{L100}\n"
        f"dhcp-option=vi-encap:9,1,{L200}\ndhcp-option=vi-encap:9,2,{L100}\n",
        """
discover m1 vendor=big size=1500 prl=43
discover m1 size=1500 prl=175
discover m1 size=1500 prl=125 ! ANY : more than 255 bytes for an enterprise: dnsmasq gives up, ours cuts (RFC 3396)
discover m1 vendor=big ! ANY : the same
""",
    ),
    # -- relays ------------------------------------------------------------------------
    DhcpCase(
        "option 82",
        POOL + "dhcp-circuitid=set:cid,port1\ndhcp-remoteid=set:rid,a0:b1\ndhcp-subscrid=set:sub,joe\n"
        "dhcp-option=tag:cid,224,circuit\ndhcp-option=tag:rid,225,remote\ndhcp-option=tag:sub,226,subscriber\n"
        "dhcp-range=10.77.5.50,10.77.5.150,255.255.255.0,1h\n",
        f"""
discover m1 circuit='port1
discover m1 circuit='port1 remote=a0b1 subscr='joe
discover m1 circuit='port10 remote='a0:b1
dora m1 circuit='port1
discover m2 gi=10.77.5.1 circuit='port1
discover m2 gi=10.77.1.2 link=10.77.5.0
request m2 req=. {SID} gi=10.77.1.2 link=10.77.5.0
discover m3 gi=10.77.5.1 over=10.77.5.1
request m3 req=. sid=10.77.5.1 gi=10.77.5.1 over=10.77.5.1
request m3 ci=. gi=10.77.5.1 over=10.77.5.1
request m3 req=10.77.5.9 {SID} gi=10.77.5.1 over=10.77.5.1 -> SILENCE
request m3 req=10.77.5.9 {SID} gi=10.77.5.1 circuit='port1 -> NAK
discover m4 o82=
discover m4 o82=01
discover m4 o82=0105aa
discover m4 o82=990133
discover m4 gi=10.77.1.2 link=10.77.9.0 -> SILENCE
""",
    ),
    DhcpCase(
        "relays",
        BASE + "dhcp-range=10.77.5.50,10.77.5.150,255.255.255.0,1h\n"
        "dhcp-range=set:six,10.77.6.50,10.77.6.150,255.255.255.0,10.77.6.255,2h\n"
        "dhcp-option=tag:six,3,10.77.6.254\ndhcp-host=02:00:00:00:aa:05,10.77.6.5,roamer\n"
        "dhcp-host=02:00:00:00:aa:06,10.77.5.6,10.77.6.6\n",
        f"""
dora m1 gi=10.77.5.1
dora m1 gi=10.77.5.1 bcast hops=3 secs=9
request m1 ci=. gi=10.77.5.1
request m1 ci=. uni
dora m2 gi=10.77.6.1
dora m1 gi=10.77.6.1
discover m3 gi=10.77.7.1 -> SILENCE
request m3 req=10.77.7.9 {SID} gi=10.77.7.1 -> SILENCE
request m3 req=10.77.6.9 {SID} gi=10.77.5.1 -> NAK
request m3 req=10.77.6.9 gi=10.77.6.1 -> SILENCE
discover m3 -> SILENCE
discover m5 gi=10.77.5.1
dora m5 gi=10.77.6.1
discover m6 gi=10.77.6.1
inform m7 ci=10.77.5.77 gi=10.77.5.1
inform m7 ci=10.77.5.77 uni
decline m2 req=10.77.6.50 {SID} gi=10.77.6.1
release m5 ci=10.77.6.5 {SID} uni
discover m8 gi=10.77.5.1 sport=68
discover m8 gi=10.77.5.1 to=255.255.255.255
discover m8 gi=10.77.5.1 from=10.77.1.2
""",
    ),
    DhcpCase(
        "relays without netmask",
        BASE + "dhcp-range=10.77.5.50,10.77.5.150,1h\n",
        """
discover m1 gi=10.77.5.1
discover m1 gi=10.77.6.1 ! ~options ~log : the router, as the guessed netmask, is that of all who come
discover m1 ! ANY : the netmask that dnsmasq guesses for a relay stays and fits lan0
""",
    ),
    DhcpCase(
        "dhcp-proxy",
        BASE + "dhcp-range=10.77.5.50,10.77.5.150,255.255.255.0,1h\n"
        "dhcp-range=10.77.6.50,10.77.6.150,255.255.255.0,1h\ndhcp-proxy=10.77.5.1\n",
        f"""
dora m1 gi=10.77.5.1 sid=10.77.5.1
request m1 ci=. gi=10.77.5.1
request m1 req=. {SID} gi=10.77.5.1 -> SILENCE
discover m2 gi=10.77.6.1
discover m1 gi=10.77.5.1 over=10.77.5.9
""",
    ),
    DhcpCase(
        "dhcp-proxy for all",
        BASE + "dhcp-range=10.77.5.50,10.77.5.150,255.255.255.0,1h\ndhcp-proxy\n",
        "dora m1 gi=10.77.5.1 sid=10.77.5.1\nrequest m1 ci=. uni\n",
    ),
    DhcpCase(
        "subnet selection",
        POOL + "dhcp-range=10.77.5.50,10.77.5.150,255.255.255.0,1h\n",
        f"""
discover m1 subnet=10.77.5.0 ! ~target : dnsmasq sends it where the routing table leads
dora m1 subnet=10.77.5.0 gi=10.77.1.2
discover m1 subnet=10.77.9.0 -> SILENCE
discover m1 subnet=10.77.1.0
discover m1 subnet=10.77.5.0 link=10.77.1.0
request m1 req=10.77.5.60 {SID} subnet=10.77.5.0 ! ~target : dnsmasq sends it where the routing table leads
""",
    ),
    DhcpCase(
        "shared network",
        BASE + "dhcp-range=10.77.1.50,10.77.1.51,1h\ndhcp-range=10.77.6.50,10.77.6.60,255.255.255.0,1h\n"
        "shared-network=lan0,10.77.6.1\nshared-network=10.77.5.1,10.77.6.1\n",
        """
dora m1
dora m2
dora m3 ! ~target : dnsmasq sends it where the routing table leads
discover m4 gi=10.77.5.1
discover m5 on=up1 ! ANY : dnsmasq lets the network of lan0 count on wan0, with lan0's address as server-id
request m3 ci=. uni
""",
    ),
    # -- ranges ------------------------------------------------------------------------
    DhcpCase(
        "several ranges on a subnet",
        BASE + "dhcp-range=10.77.1.50,10.77.1.52,1h\ndhcp-range=set:high,10.77.1.200,10.77.1.210,2h\n"
        "dhcp-range=10.77.2.50,10.77.2.60,3h\ndhcp-option=tag:high,224,high\n",
        f"""
dora m1
dora m2
dora m3
dora m4
dora m5
discover m6 on=up1
dora m7 on=up1
discover m7
request m7 req=10.77.2.50 {SID} -> NAK
request m7 req=10.77.2.55 -> SILENCE
discover m4 req=10.77.1.50
discover m8 req=10.77.1.205
discover m1
""",
    ),
    DhcpCase(
        "ranges with tags",
        BASE + "dhcp-range=tag:red,10.77.1.50,10.77.1.59,1h\ndhcp-range=tag:blue,tag:!red,10.77.1.60,10.77.1.69,1h\n"
        "dhcp-range=set:rest,10.77.1.70,10.77.1.79,1h\ndhcp-vendorclass=set:red,RED\ndhcp-vendorclass=set:blue,BLUE\n"
        "dhcp-option=tag:rest,224,rest\n",
        f"""
discover m1 vendor=RED
discover m1 vendor=BLUE
discover m1 vendor=REDBLUE
discover m1
discover m2 req=10.77.1.55
request m2 req=10.77.1.55 {SID} -> NAK
request m2 req=10.77.1.55 {SID} vendor=RED
request m2 ci=10.77.1.55 uni -> NAK
discover m2
""",
    ),
    DhcpCase(
        "tagged ranges only",
        BASE + "dhcp-range=tag:red,10.77.1.50,10.77.1.59,1h\ndhcp-vendorclass=set:red,RED\n",
        "discover m1 -> SILENCE\ndiscover m1 vendor=RED\nrequest m1 req=10.77.1.50 sid=10.77.1.1 -> NAK\n",
    ),
    DhcpCase(
        "static range",
        BASE + "dhcp-range=10.77.1.0,static,1h\ndhcp-host=02:00:00:00:aa:01,10.77.1.20,one\n"
        "dhcp-host=02:00:00:00:aa:02,two\n",
        f"""
dora m1
discover m2 -> SILENCE
request m2 req=10.77.1.60 {SID} -> NAK
request m1 req=10.77.1.60 {SID} -> NAK
discover m3 -> SILENCE
bootp m1
inform m4 ci=10.77.1.99 uni
""",
    ),
    DhcpCase(
        "static and dynamic",
        BASE + "dhcp-range=10.77.1.0,static\ndhcp-range=10.77.1.50,10.77.1.60,255.255.255.0,10.77.1.254,12m\n"
        "dhcp-host=02:00:00:00:aa:01,10.77.1.20\n",
        "dora m1\ndora m2\n",
    ),
    DhcpCase(
        "reversed range and a range beyond the netmask",
        BASE + "dhcp-range=10.77.1.60,10.77.1.50,255.255.0.0,1h\n",
        "dora m1\ndiscover m2 on=up1\n",
    ),
    DhcpCase(
        "a range on a second address",
        BASE + "dhcp-range=10.77.3.50,10.77.3.60,1h\ndhcp-range=10.77.1.50,10.77.1.51,1h\n",
        """
dora m1 sid=10.77.3.1
dora m2 sid=10.77.3.1
discover m3
request m3 req=. sid=10.77.1.1 -> NAK
dora m3 sid=10.77.3.1
discover m4
discover m4 req=10.77.3.59
request m4 req=10.77.1.51 sid=10.77.1.1
request m3 ci=. uni to=10.77.3.1
""",
        ip=("s:addr add 10.77.3.1/24 dev lan0",),
    ),
    DhcpCase(
        "address choice by hash",
        BASE + "dhcp-range=10.77.1.10,10.77.1.250,1h\n",
        "".join(f"discover {mac}\n" for mac in HASH_MACS.split())
        + """
discover 001122334455
discover ffffffffffff
discover 0a0b0c0d0e0f1011
discover 0001 clid=ff00112233 bcast
discover m1 clid=01aabbccddeeff
discover m1 htype=6 bcast
discover 4785799e5cbd ! ~yiaddr ~target ~log : ours keeps the address for the client that it offered it to just before
""",
    ),
    DhcpCase(
        "address choice in a crowded range",
        BASE + "dhcp-range=10.77.1.50,10.77.1.57,1h\n",
        "".join(f"dora m{number}\n" for number in range(30, 38))
        + "discover m38 -> SILENCE\nrelease m31 ci=. sid=10.77.1.1 uni\n"
        "dora m38\nrequest m39 req=10.77.1.50 sid=10.77.1.1 -> NAK\ndiscover m32 req=10.77.1.50\n",
    ),
    DhcpCase(
        "addresses that end in 0 and 255",
        BASE + "dhcp-range=192.168.7.254,192.168.8.1,255.255.0.0,1h\n",
        """
dora m1 sid=192.168.7.1
dora m2 sid=192.168.7.1
discover m3 -> SILENCE
request m5 req=192.168.8.0 sid=192.168.7.1
""",
        ip=("s:addr add 192.168.7.1/16 dev lan0",),
    ),
    DhcpCase(
        "sequential addresses",
        POOL.replace("150", "54") + "dhcp-sequential-ip\ndhcp-host=02:00:00:00:aa:09,10.77.1.51\n",
        """
dora m1
dora m2
dora m3
release m1 ci=. sid=10.77.1.1 uni
dora m4
dora m5
discover m6 -> SILENCE
request m6 req=10.77.1.51 sid=10.77.1.1 -> NAK
""",
    ),
    DhcpCase(
        "addresses that answer a ping",
        (POOL + "dhcp-sequential-ip\n").replace("no-ping\n", ""),
        "discover m1 req=10.77.1.50\ndiscover m1\n",
        ip=("c:addr add 10.77.1.50/32 dev up0",),
    ),
    DhcpCase(
        "as many leases as allowed",
        POOL + "dhcp-lease-max=2\n",
        "dora m1\ndora m2\ndora m3 -> OFFER NAK\nrequest m1 ci=. uni\nrequest m1 req=10.77.1.99 sid=10.77.1.1\n",
    ),
    # -- reservations --------------------------------------------------------------------
    DhcpCase(
        "hosts by MAC",
        POOL + "dhcp-host=02:00:00:00:aa:01,02:00:00:00:aa:02,10.77.1.20,twomacs\n"
        "dhcp-host=02:00:00:00:bb:*,set:wild2,wildbb\ndhcp-host=02:00:00:*:*:*,set:wild,10m\n"
        "dhcp-host=06-02:00:00:00:aa:04,10.77.1.24\ndhcp-host=02:00:00:00:aa:05,set:a,set:b,10.77.1.25,five,5m\n"
        "dhcp-host=02:00:00:00:aa:06,ignore\ndhcp-host=02-00-00-00-aa-07,10.77.1.27\n"
        "dhcp-host=02:00:00:00:aa:08,10.77.1.28,[fd00::8],eight\ndhcp-host=02:00:00:00:aa:09,10.77.1.1\n"
        "dhcp-host=02:00:00:00:aa:0a,10.9.9.9,faraway\ndhcp-option=tag:known,224,known\n"
        "dhcp-option=tag:known-othernet,225,othernet\ndhcp-option=tag:wild,226,wild\n",
        f"""
dora m1
discover m2
dora m2
dora m1
discover 02000000bb07
dora 02000000bb07 name=mine
discover 020000cc0001
discover m4 htype=6 -> SILENCE ! ANY : the kernel has no such neighbours; ours turns to broadcast
discover m4 htype=6 bcast
discover m4
dora m5 name=other
discover m6 -> SILENCE
request m6 req=10.77.1.60 {SID} -> SILENCE
dora m7
dora m8
discover m9
discover m10
dora m10 name=ten
request m10 req=10.77.1.20 {SID} -> NAK
discover m11
""",
    ),
    DhcpCase(
        "hosts by client id",
        POOL + "dhcp-host=id:01:02:03:04,10.77.1.20,byid\ndhcp-host=id:name1,10.77.1.21\n"
        "dhcp-host=02:00:00:00:aa:03,id:*,10.77.1.22\ndhcp-host=id:ff:01,set:x\n"
        "dhcp-host=02:00:00:00:aa:05,id:05:05,10.77.1.25\n",
        """
dora m1 clid=01020304
dora m2 clid=01020304
discover m2 clid=6e616d6531
discover m4 clid=006e616d6531
dora m3
dora m3 clid=0100
discover m3 clid=0101
discover m1 clid=ff01
dora m5 clid=0505
discover m5
discover m6 clid=0505
dora m7
discover m7 clid=0707
dora m7 clid=0707
dora m8 clid=0707
""",
    ),
    DhcpCase(
        "hosts by name and with tags",
        POOL + "domain=lan.test\ndhcp-host=laptop,10.77.1.20,10m\ndhcp-host=other.lan.test,10.77.1.21\n"
        "dhcp-host=tag:vip,02:00:00:00:aa:03,10.77.1.23,vip\ndhcp-host=02:00:00:00:aa:03,10.77.1.33,plain\n"
        "dhcp-vendorclass=set:vip,VIP\ndhcp-host=name-only\ndhcp-host=bad,ignore\n"
        "dhcp-host=02:00:00:00:aa:05,laptop5,10.77.1.25\n",
        f"""
dora m1 name=laptop
discover m2 name=LAPTOP
discover m2 name=laptop
discover m2 name=other
dora m2 name=other.lan.test
dora m3
discover m3 vendor=VIP
request m3 req=. {SID} vendor=VIP
discover m4 name=bad -> SILENCE
dora m4 name=name-only
discover m6 name=laptop5
discover m6 fqdn=0:laptop5
""",
    ),
    DhcpCase(
        "host files and option files",
        POOL + "dhcp-hostsfile=$DIR/hosts.d1\ndhcp-hostsdir=$DIR/hosts.d\ndhcp-optsfile=$DIR/opts.f\n"
        "dhcp-optsdir=$DIR/opts.d\n",
        """
dora m1
dora m2
discover m3 -> SILENCE
dora m4
discover m5
watch hosts.d/two
discover m5
discover m4
watch opts.d/two
discover m6 prl=226,224,227
""",
        files={
            "hosts.d1": "02:00:00:00:aa:01,10.77.1.20,one\n# remark\n\n"
            "02:00:00:00:aa:02,set:two,two # remark\nnonsense,,,\n",
            "hosts.d/one": "02:00:00:00:aa:03,ignore\n02:00:00:00:aa:04,10.77.1.24\n",
            "opts.f": "224,from-file\noption:router,10.77.1.254\ntag:two,225,for two\noption:nonsense,1\n",
            "opts.d/one": "226,from-dir\n",
        },
        later={
            "hosts.d/two": "02:00:00:00:aa:05,10.77.1.25,five\n",
            "opts.d/two": "227,second\n",
        },
    ),
    DhcpCase(
        # Of one file only: 2.90 ends with SIGSEGV when several were read.
        "host file read again",
        POOL + "dhcp-hostsfile=$DIR/hosts.f\n",
        """
dora m1
discover m2
write hosts.f
discover m1
hup
discover m1
discover m2 -> SILENCE
request m1 ci=. uni -> NAK
""",
        files={"hosts.f": "02:00:00:00:aa:01,10.77.1.20,one\n"},
        later={"hosts.f": "02:00:00:00:aa:01,10.77.1.30,uno\n02:00:00:00:aa:02,ignore\n"},
    ),
    DhcpCase(
        "option file read again",
        POOL + "dhcp-optsfile=$DIR/opts\n",
        "discover m1\nwrite opts\nhup\ndiscover m1\n",
        files={"opts": "224,one\n225,two\n"},
        later={"opts": "225,zwei\n226,drei\n"},
    ),
    DhcpCase(
        "boot data in an option file",
        POOL + "dhcp-optsfile=$DIR/opts\n",
        "discover m1\ndiscover m1 prl=66,67\ndiscover m1 prl=150\n",
        files={"opts": "option:bootfile-name,file.img\noption:tftp-server,srv\noption:server-ip-address,10.77.1.7\n"},
    ),
    DhcpCase(
        "ethers",
        POOL + "read-ethers\n",
        "dora m1\ndora m2\ndora m3\ndiscover m4\nwrite etc/ethers\nhup\ndiscover m4\ndiscover m1\n",
        files={
            "etc/ethers": "02:00:00:00:aa:01 10.77.1.20\n02:00:00:00:aa:02 twoname\n# remark\n+nis\n"
            "2:0:0:0:aa:3 10.77.1.23\nbad line\n02:00:00:00:aa:05 1.2.3.4.5\n"
        },
        later={"etc/ethers": "02:00:00:00:aa:04 10.77.1.24\n"},
    ),
    DhcpCase(
        "names in hosts files as reservations",
        HOSTS + "domain=lan.test\nexpand-hosts\ndhcp-host=02:00:00:00:aa:01,reserved\n"
        "dhcp-host=02:00:00:00:aa:02,double\ndhcp-host=02:00:00:00:aa:03,foreign\n"
        "dhcp-host=02:00:00:00:aa:04,10.77.1.24\ndhcp-host=02:00:00:00:aa:05,10.77.1.25,given\n",
        """
dora m1
discover m2 ! ~yiaddr ~target ~log : of several addresses 2.93 takes the first, 2.90 none
discover m3
dora m4
dora m4 name=client
dora m5
discover m6 name=reserved
dora m7 name=taken
dora m8 req=10.77.1.60
dora m9 req=10.77.1.61 name=nine
dns taken A
dns reserved A
""",
        files={
            "hosts": "10.77.1.20 reserved\n10.77.1.21 double\n10.77.1.22 double\n10.9.9.9 foreign\n"
            "10.77.1.24 inhosts.lan.test\n10.77.1.25 hostname25\n10.77.1.26 taken\n10.77.1.60 sixty\n"
            "10.77.1.61 sixtyone.elsewhere.test\n"
        },
    ),
    # -- tags ----------------------------------------------------------------------------
    DhcpCase(
        "tags of all sources",
        POOL + "dhcp-mac=set:mac,02:00:00:00:*:01\ndhcp-vendorclass=set:vc,MSFT\ndhcp-vendorclass=vc2,5.0\n"
        "dhcp-userclass=set:uc,acct\ndhcp-match=set:m93,93\ndhcp-match=set:m93v,93,7\n"
        "dhcp-match=set:mven,option:vendor-class,SFT\ndhcp-match=set:mhex,61,01:02:*\ndhcp-match=set:enc,vi-encap:9\n"
        "dhcp-name-match=set:nm,lap*\ndhcp-name-match=set:exact,laptop\n"
        "tag-if=set:both,tag:vc,tag:uc\ntag-if=set:notuc,tag:vc,tag:!uc\ntag-if=set:wild,tag:m93*\n"
        "tag-if=set:iface,tag:lan0\ntag-if=set:chain,tag:both\ntag-if=set:always\n"
        "tag-if=set:k,tag:known\ndhcp-host=02:00:00:00:aa:02,set:host\n"
        "tag-if=set:h,tag:host\ntag-if=set:ranged,tag:pool\n",
        """
discover m1
discover m1 vendor=MSFT%205.0
discover m1 vendor=msft
discover m2 vendor=MSFT%205.0 user=myacct
discover m2 user=%04acct
discover m3 o93=0007
discover m3 o93=00000007
discover m3 clid=010203
discover m3 clid=0102
discover m3 name=LapTop
discover m3 name=laptop
discover m3 fqdn=0:laptop name=desk
discover m3 o124=000000090201aa
discover m3 o124=000000080201aa
discover m3 o125=000000090201aa
discover m3 o125=00000de9160106303030303031020e53455249414c
discover m3 o125=00000de90f0106303030303031020553455249414c
""",
    ),
    DhcpCase(
        "ignoring",
        POOL + "dhcp-ignore=tag:!known,tag:!ok\ndhcp-host=02:00:00:00:aa:01,one\ndhcp-mac=set:ok,02:00:00:00:aa:02\n"
        "dhcp-ignore=tag:bad\ndhcp-userclass=set:bad,bad\n",
        f"""
dora m1
dora m2
discover m3 -> SILENCE
request m3 req=10.77.1.60 {SID} -> SILENCE
inform m3 ci=10.77.1.60 uni -> SILENCE
bootp m3 -> SILENCE
discover m1 user=bad -> SILENCE
release m3 ci=10.77.1.60 {SID} uni
decline m3 req=10.77.1.60 {SID}
""",
    ),
    DhcpCase(
        "ignoring names",
        POOL + "domain=lan.test\ndhcp-ignore-names=tag:anon\ndhcp-mac=set:anon,02:00:00:00:aa:01\n"
        "dhcp-host=02:00:00:00:aa:03,three\ndhcp-mac=set:anon,02:00:00:00:aa:03\n",
        "dora m1 name=one\ndora m2 name=two\ndora m3 name=other\ndora m1 fqdn=1:one.lan.test\n",
    ),
    DhcpCase(
        "ignoring all names",
        POOL + "dhcp-ignore-names\n",
        "dora m1 name=one\ndora m2 fqdn=5:two.lan.test.\n",
    ),
    DhcpCase(
        "ignoring client ids",
        POOL + "dhcp-ignore-clid\ndhcp-host=id:01:02,10.77.1.20\n",
        "dora m1 clid=0102\ndora m1 clid=0103\ndora m2 clid=0103\n",
    ),
    DhcpCase(
        "broadcast",
        POOL + "dhcp-broadcast=tag:shout\ndhcp-mac=set:shout,02:00:00:00:aa:01\n",
        "dora m1\nrequest m1 ci=. uni\ndora m2\ninform m1 ci=10.77.1.99\n",
    ),
    DhcpCase(
        "broadcast to all", POOL + "dhcp-broadcast\nbootp-dynamic\n", "dora m1\ndiscover m2 gi=10.77.1.2\nbootp m3\n"
    ),
    DhcpCase(
        "generated names",
        POOL + "domain=lan.test\ndhcp-generate-names=tag:!named\ndhcp-mac=set:named,02:00:00:00:aa:02\n",
        "dora m1\ndora m2\ndora m3 name=three\nrequest m1 ci=. uni\ndora m4 htype=6 bcast prl=12,15\n",
    ),
    DhcpCase(
        "generated names instead of given ones",
        POOL + "dhcp-generate-names\ndhcp-ignore-names\n",
        "dora m1 name=mine\ndora m2 prl=12\n",
    ),
    # -- options --------------------------------------------------------------------------
    DhcpCase(
        "values of options",
        POOL + "".join(f"dhcp-option={line}\n" for line in re.split("; |\n", OPTION_VALUES)),
        f"""
discover m1 size=1500
discover m1 size=1500 {ALL}
dora m1 prl=1,28,12,15 name=client
dora m2 prl=208,209,210,211,212,213,214,215,216,217,218,219 size=1500
discover m2 prl=
discover m2 prl=3
bootp m2 -> SILENCE
""",
    ),
    DhcpCase(
        "options by name",
        POOL + "".join(f"dhcp-option=option:{line}\n" for line in OPTIONS_BY_NAME.split()),
        "".join(
            f"discover m1 size=1500 prl={','.join(str(n) for n in range(first, first + 32) if n not in UNNAMED)}\n"
            for first in range(1, 225, 32)
        )
        + "discover m1 size=9000\n",
    ),
    DhcpCase(
        "SIP names, no values, forced options",
        POOL + "dhcp-option=120,sip1.test,sip2.test\ndhcp-option=3\ndhcp-option=6\ndhcp-option=option:domain-name\n"
        "domain=lan.test\ndhcp-option-force=210,/forced/\ndhcp-option-force=1,255.255.255.128\n"
        "dhcp-option-force=tag:x,211,5i\ndhcp-option=28\n",
        f"""
discover m1
discover m1 prl=6
discover m1 {ALL}
inform m1 ci=10.77.1.99 prl=6
bootp m1 -> SILENCE
""",
    ),
    DhcpCase(
        "suppressed netmask",
        POOL + "dhcp-option=1\ndhcp-option=12\n",
        "discover m1 name=x\ndora m1 name=x prl=1,12\n",
    ),
    DhcpCase(
        "vendor options",
        POOL + "dhcp-option=vendor:MSFT,2,1i\ndhcp-option=vendor:MSFT,1,10.77.1.1\ndhcp-option=vendor:Other,5,text\n"
        "dhcp-option=encap:175,190,user\ndhcp-option=encap:175,191,pass\ndhcp-option=encap:176,1,1b\n"
        "dhcp-option=vi-encap:2,5,text\ndhcp-option=vi-encap:2,6,00:01\ndhcp-option=vi-encap:9,1,x\n"
        "dhcp-option-force=vendor:Forced,7,f\n",
        """
discover m1
discover m1 vendor=MSFT%205.0
discover m1 vendor=MSFT%205.0 prl=43
discover m1 vendor=MSFT%205.0 prl=60
discover m1 vendor=MSFT%205.0 prl=3
discover m1 vendor=xOtherMSFT
discover m1 vendor=Forced prl=3
discover m1 vendor=nothing prl=43,60
discover m1 prl=43
discover m1 prl=175
discover m1 prl=125
discover m1 prl=125,175,176
dora m1 vendor=MSFT o124=000000020161
""",
    ),
    DhcpCase(
        "vendor options beside a raw one",
        POOL + "dhcp-option=43,01:02:03\ndhcp-option=vendor:MSFT,2,1i\ndhcp-option=125,01:02\n",
        "discover m1 vendor=MSFT\ndiscover m1 prl=43\ndiscover m1 prl=125\n",
    ),
    DhcpCase(
        "selection of options",
        BASE + "dhcp-range=set:pool,10.77.1.50,10.77.1.150,1h\n"
        "dhcp-option=224,plain\ndhcp-option=tag:a,224,tag-a\ndhcp-option=tag:b,224,tag-b\ndhcp-option=tag:pool,224,pool\n"
        "dhcp-option=225,first\ndhcp-option=225,second\ndhcp-option=tag:pool,225,pool\n"
        "dhcp-option=tag:pool,226,pool\ndhcp-option=226,plain\ndhcp-option=tag:a,tag:b,227,both\n"
        "dhcp-option=tag:a,227,tag-a\ndhcp-option=tag:!a,228,not-a\ndhcp-option=tag:pool,tag:a,229,pool-and-a\n"
        "dhcp-option=tag:lan0,230,lan\ndhcp-option=tag:!lan0,230,not-lan\ndhcp-option=tag:c,3,10.77.1.253\n"
        "dhcp-option=tag:a,3\ndhcp-option=231,late\ndhcp-option=tag:a,231,early\n"
        "dhcp-vendorclass=set:a,A\ndhcp-vendorclass=set:b,B\ndhcp-vendorclass=set:c,C\n",
        f"""
discover m1
discover m1 vendor=A
discover m1 vendor=B
discover m1 vendor=AB
discover m1 vendor=C
discover m1 vendor=ABC {ALL},224,225,226,227,228,229,230,231
""",
    ),
    DhcpCase(
        "order of options",
        POOL + "domain=lan.test\ndhcp-option=42,10.77.1.9\ndhcp-option=3,10.77.1.254\ndhcp-option=6,10.77.1.8\n"
        "dhcp-option=26,1400\ndhcp-boot=b.img,s,10.77.1.9\n",
        """
discover m1 prl=42,26,15,12,6,3,28,1,54,51
discover m1 prl=1,3,6,12,15,26,28,42,51,54
dora m1 prl=67,66,42,6 name=x fqdn=1:x bcast
dora m2 prl=6,6,3,3
""",
    ),
    DhcpCase(
        "strings with NUL and odd packets",
        POOL + "dhcp-option=224,text\ndhcp-boot=b.img\ndomain=lan.test\ndhcp-option=17,/r\n",
        f"""
discover m1 name=nul%00
dora m1 name=nul%00
discover m2 vendor=x%00
discover m2 prl=17,67 vendor=x%00
discover m3 name=bad_name!
dora m3 name=under_score
dora m3 name=with%20blank
dora m3 name=-dash
dora m3 name=dot.ted
dora m3 name={"l" * 64}
dora m3 name={"l" * 63}
dora m3 name=%E4%F6
dora m3 name=
discover m4 noend
discover m4 nopad
discover m4 o52=01 file=0c0466696c65ff
discover m4 o52=02 sname=0c05736e616d65ff
discover m4 o52=03 file=0c0466696c65ff sname=3c0141ff
discover m4 o0= o12='late
discover m4 o12='twice o12='again ! ~log : ours joins the two (RFC 3396)
discover m4 o50=01
discover m4 o61=
discover m4 o61=01 clid=02
discover 00 htype=0 clid=0102 -> SILENCE
discover m4 flags=65535 secs=65535 hops=255
discover m4 prl=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35
""",
    ),
    DhcpCase(
        "boot data",
        POOL + "dhcp-boot=plain.img\ndhcp-boot=tag:a,a.img,srva,10.77.1.9\ndhcp-boot=tag:b,b.img,,10.77.1.8\n"
        "dhcp-boot=tag:n,n.img,srvn,tftp.test\ndhcp-boot=tag:n2,n.img,srvn,nowhere.test\n"
        "dhcp-vendorclass=set:a,A\ndhcp-vendorclass=set:b,B\ndhcp-vendorclass=set:n,N\ndhcp-vendorclass=set:n2,M\n"
        "host-record=tftp.test,10.77.1.66\n",
        """
discover m1
discover m1 vendor=A
discover m1 vendor=B
discover m1 vendor=AB
discover m1 vendor=N
discover m1 vendor=M
dora m1 vendor=A prl=66,67,150
bootp m1 -> SILENCE
inform m1 ci=10.77.1.99 vendor=A prl=66,67
""",
    ),
    # -- interfaces and ports ------------------------------------------------------------
    DhcpCase(
        "no-dhcp-interface",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,1h\ndhcp-range=10.77.2.50,10.77.2.150,1h\nno-dhcp-interface=wan0\n",
        "discover m1\ndiscover m2 on=up1 -> SILENCE\ndora m1\n",
    ),
    DhcpCase(
        "interface",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,1h\ndhcp-range=10.77.2.50,10.77.2.150,1h\ninterface=wan0\n",
        "discover m1 -> SILENCE\ndora m2 on=up1 name=two\n",
        dns="10.77.2.1",
    ),
    DhcpCase(
        "except-interface",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,1h\ndhcp-range=10.77.2.50,10.77.2.150,1h\nexcept-interface=wan*\n",
        "discover m1\ndiscover m2 on=up1 -> SILENCE\n",
    ),
    DhcpCase(
        "bind-interfaces",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,1h\nbind-interfaces\ninterface=lan0\n",
        "dora m1\ndiscover m2 on=up1 -> SILENCE\nrequest m1 ci=. uni\n",
    ),
    DhcpCase(
        "bind-dynamic",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,1h\nbind-dynamic\ninterface=lan0\n",
        "dora m1\ndiscover m2 on=up1 -> SILENCE\nrequest m1 ci=. uni\n",
    ),
    DhcpCase(
        "listen-address",
        BASE + "dhcp-range=10.77.1.50,10.77.1.150,1h\nlisten-address=10.77.1.1\n",
        "dora m1\ndiscover m2 on=up1 -> SILENCE\n",
    ),
    DhcpCase(
        "bridge-interface",
        POOL + "bridge-interface=lan0,wan*\n",
        """
dora m1 on=up1 sid=10.77.1.1 ! ~target : dnsmasq sends from 10.77.2.1 and names 10.77.1.1 as server-id
request m4 req=10.77.1.60 sid=10.77.2.1 on=up1 -> SILENCE
dora m2
discover m3 on=up1 bcast ! ~target : the same
inform m3 ci=10.77.1.99 on=up1
""",
    ),
    DhcpCase(
        "alternate port",
        POOL + "dhcp-alternate-port\n",
        "discover m1 -> SILENCE\ndora m1 dport=1067 sport=1068\nrequest m1 ci=. uni dport=1067 sport=1068\n"
        "discover m2 gi=10.77.1.2 dport=1067 sport=1067\n",
    ),
    DhcpCase(
        "alternate ports",
        POOL + "dhcp-alternate-port=1167,1268\n",
        "dora m1 dport=1167 sport=1268\ndiscover m1 bcast dport=1167\n",
    ),
    # -- names ---------------------------------------------------------------------------
    DhcpCase(
        "names and domains",
        POOL + "domain=lan.test\ndomain=sub.test,10.77.1.60,10.77.1.69\ndomain=net.test,10.77.1.128/25\n"
        "dhcp-host=02:00:00:00:aa:06,10.77.1.66,six\n",
        f"""
dora m1 name=one req=10.77.1.50 {ALL}
dora m2 name=two req=10.77.1.61 {ALL}
dora m3 name=three req=10.77.1.130 {ALL}
dora m4 name=four.lan.test req=10.77.1.51
dora m5 name=five.wrong.test req=10.77.1.52
dora m6 name=ignored {ALL}
dora m7 name=seven.sub.test req=10.77.1.62
dora m8 name=eight.lan.test req=10.77.1.63
dns one A
dns one.lan.test A
dns ONE.LAN.TEST A
dns one AAAA
dns two.sub.test A
dns two.lan.test A
dns three.net.test A
dns five A
dns five.lan.test A
dns six.sub.test A
dns nosuch.lan.test A
release m1 ci=10.77.1.50 {SID} uni
dns one.lan.test A
dns 50.1.77.10.in-addr.arpa PTR
""",
    ),
    DhcpCase(
        "local domain by subnet",
        POOL + "domain=lan.test,10.77.1.0/24,local\n",
        "dora m1 name=one prl=15\ndns nosuch.lan.test A\ndns 99.1.77.10.in-addr.arpa PTR\ndns one.lan.test A\n",
    ),
    DhcpCase(
        "domain by interface",
        POOL + "domain=if.test,lan0\ndomain=rest.test\n",
        f"dora m1 name=one {ALL}\ndora m2 name=two.rest.test\ndora m3 name=three.if.test\n",
    ),
    DhcpCase(
        "fully qualified names only",
        POOL + "domain=lan.test\ndomain=sub.test,10.77.1.60,10.77.1.69\ndhcp-fqdn\n",
        """
dora m1 name=one req=10.77.1.50
dora m2 name=one req=10.77.1.60
dora m3 name=one req=10.77.1.51
dns one A
dns one.lan.test A
dns one.sub.test A
leases
""",
    ),
    DhcpCase(
        "taking over names",
        POOL + "domain=lan.test\ndhcp-host=02:00:00:00:aa:02,fixed\n",
        """
dora m1 name=joe
dora m3 name=joe
leases
dns joe A
dora m2
dora m4 name=fixed
leases
dns fixed.lan.test A
request m1 ci=. uni name=joe
dns joe A
request m1 ci=. uni name=jim
request m1 ci=. uni
dns jim A
dora m1 name=JIM
""",
    ),
    DhcpCase(
        "conflicts with other names",
        HOSTS + "domain=lan.test\ncname=alias,target\ncname=alias2.lan.test,target\nhost-record=rec,10.77.1.99\n"
        "address=/adr/10.77.1.98\ninterface-name=ifname,lan0\n",
        """
dora m1 name=inhosts
dora m2 name=alias
dora m3 name=alias2
dora m4 name=rec
dora m5 name=adr
dora m6 name=target
dora m7 name=ifname
dora m8 name=six
dns inhosts A
dns alias A
dns alias2.lan.test A
dns alias2 A
dns rec A
dns six A
dns six AAAA
""",
        files={"hosts": "10.77.1.11 inhosts inhosts.lan.test\nfd00::6 six\n"},
    ),
    DhcpCase(
        "TTL of leases",
        POOL + "domain=lan.test\ndhcp-ttl=77\nlocal-ttl=10\nhost-record=rec.test,10.9.9.9\n",
        "dora m1 name=one\ndns one.lan.test A\ndns rec.test A\ndora m2 name=two lease=120\n",
    ),
    DhcpCase("local TTL of leases", POOL + "local-ttl=600\n", "dora m1 name=one lease=130\ndora m2 name=two\n"),
    DhcpCase("a dhcp-ttl of 0", POOL + "local-ttl=600\ndhcp-ttl=0\n", "dora m1 name=one\n"),
    DhcpCase(
        "option 81",
        POOL + "domain=lan.test\ndhcp-host=02:00:00:00:aa:09,nine\n",
        """
dora m1 fqdn=0:one
dora m2 fqdn=1:two.lan.test
dora m3 fqdn=5:three.lan.test.
dora m4 fqdn=4:four
dora m5 fqdn=5:five.wrong.test.
dora m6 fqdn=8:six
dora m7 fqdn=d:seven.lan.test.
dora m8 fqdn=1: prl=12,15
dora m9 fqdn=5:other.lan.test.
dora m10 fqdn=1:ten name=zehn
dora m11 o81=01
dora m11 o81=050000
dora m11 o81=05000004656c
dora m12 fqdn=3:twelve
dora m13 fqdn=1:bad_na!me
dora m14 fqdn=1:trailing.
""",
    ),
    DhcpCase(
        "option 81 without a domain",
        POOL,
        "dora m1 fqdn=0:one\ndora m2 fqdn=5:two.some.test.\ndora m3 fqdn=5:three\ndora m4 fqdn=1:four prl=81\n",
    ),
    DhcpCase(
        "client update",
        POOL + "domain=lan.test\ndhcp-client-update\n",
        "dora m1 fqdn=0:one\ndora m2 fqdn=5:two.lan.test.\ndora m3 fqdn=8:three\ndora m4 fqdn=c:four.\n",
    ),
    # -- several things together ---------------------------------------------------------
    DhcpCase(
        "options for those outside a range",
        BASE + "dhcp-range=set:guest,10.77.1.50,10.77.1.150,1h\ndhcp-range=10.77.2.50,10.77.2.60,1h\n"
        "dhcp-mac=set:m,02:00:00:00:aa:01\ntag-if=set:der,tag:guest\ntag-if=set:both,tag:guest,tag:m\n"
        "dhcp-option=224,plain\ndhcp-option=tag:!guest,224,inside\ndhcp-option=tag:!guest,225,inside\n"
        "dhcp-option=tag:!der,226,not-derived\ndhcp-option=tag:!guest,tag:m,227,inside-m\n"
        "dhcp-option=tag:der,228,derived\ndhcp-option=228,plain\ndhcp-option=tag:m,229,mac\n"
        "dhcp-option=tag:der,229,derived\ndhcp-option=tag:der,230,derived\ndhcp-option=tag:m,230,mac\n"
        "dhcp-option=tag:guest,231,guest\ndhcp-option=tag:der,231,derived\ndhcp-option=tag:der,232,derived\n"
        "dhcp-option=tag:guest,232,guest\ndhcp-option=tag:both,233,both\ndhcp-option=tag:m,tag:guest,233,m-guest\n"
        "dhcp-boot=plain.img\ndhcp-boot=tag:!guest,inside.img\n",
        "dora m1\ndora m2\ndora m1 on=up1\ndiscover m2 on=up1\ninform m1 ci=10.77.1.99\n",
    ),
    DhcpCase(
        "a vendor class of one's own",
        POOL + "dhcp-option=60,PXEClient\ndhcp-option=vendor:PXEClient,6,2b\ndhcp-option=vendor:MSFT,1,x1\n"
        "dhcp-option-force=tag:forced,60,MSFT\ndhcp-userclass=set:forced,F\n",
        "discover m1\ndiscover m1 vendor=PXEClient:A\ndiscover m1 vendor=MSFT\ndiscover m1 prl=60\ndiscover m1 prl=43\n"
        "discover m1 prl=43 vendor=MSFT\ndiscover m1 prl=43,60 vendor=MSFT\ndora m1 prl=43 user=F vendor=PXEClient\n",
    ),
    DhcpCase(
        "the address 0.0.0.0 where it stays",
        POOL + "dhcp-option=vendor:V,1,0.0.0.0,10.77.1.7\ndhcp-option=vi-encap:9,1,0.0.0.0\n"
        "dhcp-option=encap:175,1,0.0.0.0\ndhcp-option=121,10.0.0.0/8,0.0.0.0\ndhcp-option=120,0.0.0.0\n"
        "dhcp-option=3,0.0.0.0\ndhcp-option=6,10.77.1.8,0.0.0.0\ndhcp-option=150,0.0.0.0\ndhcp-option=225,0.0.0.0,0.0.0.0\n",
        "discover m1 vendor=V\ndiscover m1 gi=10.77.1.2\ninform m1 ci=10.77.1.9\n",
    ),
    DhcpCase(
        "forced encapsulated options",
        POOL + "dhcp-option-force=encap:175,1,one\ndhcp-option=encap:175,2,two\ndhcp-option-force=vi-encap:9,1,one\n"
        "dhcp-option=vi-encap:9,2,two\ndhcp-option=vi-encap:8,2,two\ndhcp-option-force=vendor:V,1,one\n"
        "dhcp-option=vendor:V,2,two\n",
        "discover m1\ndiscover m1 prl=1\ndiscover m1 prl=175\ndiscover m1 prl=125\ndiscover m1 vendor=V prl=1\n"
        "discover m1 vendor=V prl=43\n",
    ),
    DhcpCase(
        "strings",
        POOL + STRINGS,
        f"discover m1 size=1500 prl={','.join(map(str, range(200, 224)))}\n"
        f"discover m1 size=1500 prl={','.join(map(str, range(224, 255)))}\n",
    ),
    DhcpCase(
        "names of bootp clients",
        HOSTS + "bootp-dynamic\ndomain=lan.test\nexpand-hosts\ndhcp-generate-names=tag:gen\n"
        "dhcp-mac=set:gen,02:00:00:00:aa:04\ndhcp-host=02:00:00:00:aa:03,three\n",
        "bootp m1 o12='boots\nbootp m2 o81=000000616263\nbootp m3 o12='other\nbootp m4\ndora m5 name=boots\n"
        "bootp m6 o12='boots.wrong.test\ndora m4\n",
        files={"hosts": "10.77.1.50 fifty\n10.77.1.51 fiftyone\n"},
    ),
    DhcpCase(
        "several networks on an interface",
        BASE + "dhcp-range=10.77.1.50,10.77.1.60,1h\ndhcp-range=10.77.3.10,10.77.3.20,1h\n"
        "dhcp-range=10.77.8.10,10.77.9.20,1h\n",
        """
dora m1 sid=10.77.8.1
request m2 req=10.77.1.55 sid=10.77.1.1
request m2 ci=. uni
request m3 req=10.77.3.100 sid=10.77.3.1 -> NAK
request m3 req=10.77.1.200 sid=10.77.1.1 -> NAK
request m3 req=10.77.9.255 sid=10.77.8.1 -> NAK
request m3 req=10.9.9.9 sid=10.77.3.1 -> NAK
request m2 req=10.77.1.56 -> NAK
inform m5 ci=10.77.3.99
inform m5 ci=10.77.1.99
discover m4 req=10.77.3.126
discover m4 req=10.77.9.20
""",
        ip=("s:addr add 10.77.3.1/25 dev lan0", "s:addr add 10.77.8.1/23 dev lan0"),
    ),
    DhcpCase(
        "a zone's serial number",
        POOL + "domain=lan.test\nauth-server=ns.lan.test,wan0\nauth-zone=lan.test,10.77.1.0/24\nauth-soa=5\n"
        "interface=lan0\ninterface=wan0\nauth-ttl=33\n",
        """
dora m1 name=one
dns lan.test SOA
request m1 ci=. uni
dns lan.test SOA
dora m3 name=three req=10.77.1.80
dns lan.test SOA
dora m1 name=eins
dns lan.test SOA
dns eins.lan.test A
dns one.lan.test A
dns 80.1.77.10.in-addr.arpa PTR
release m1 ci=. sid=10.77.1.1 uni
dns lan.test SOA
dns eins.lan.test A
""",
        dns="10.77.2.1",
    ),
    DhcpCase(
        "boot data beside options 66 and 67",
        POOL + "dhcp-boot=f,s,10.77.1.7\ndhcp-boot=tag:u,/long/file\ndhcp-userclass=set:u,U\ndhcp-option=66,optserver\n"
        "dhcp-option=67,optfile\n",
        "discover m1\ndiscover m1 prl=66\ndiscover m1 prl=67\ndiscover m1 user=U\ndiscover m1 user=U prl=66,67\n"
        "dora m1 file='client sname='srv\ninform m2 ci=10.77.1.88 user=U\n",
    ),
    DhcpCase(
        "ethers beside other hosts",
        POOL + "dhcp-host=02:00:00:00:aa:01,10.77.1.20,conf\ndhcp-host=02:00:00:00:aa:03,10.77.1.23,three\n"
        "read-ethers\ndhcp-hostsfile=$DIR/hosts.f\n",
        "dora m1\ndora m2\ndora m3\ndora m4\ndora m5\n",
        files={
            "hosts.f": "02:00:00:00:aa:01,10.77.1.30,file\n02:00:00:00:aa:02,filetwo\n"
            "02:00:00:00:aa:04,four,10.77.1.34\n",
            "etc/ethers": "02:00:00:00:aa:03 10.77.1.43\n02:00:00:00:aa:02 ethtwo\n02:00:00:00:aa:04 10.77.1.44\n"
            "02:00:00:00:aa:05 10.77.1.45\n",
        },
    ),
    DhcpCase(
        "forms of dhcp-match",
        POOL + MATCHES,
        """
discover m1 o3=01020304 name=myhostname req=10.77.1.99
discover m1 o42=0506070801020304 name=HOST
discover m1 o42=05060102030408
discover m1 o93=00070009
discover m1 o93=0900
discover m1 o224=010203
discover m1 o224=01ff03 o225='sometexthere
discover m1 o224=01 o225='tex
discover m1 o224='01:02
discover m1 o226=05
discover m1 o226=0005
discover m1 o226=012c
discover m1 o226=0000012c
discover m1 o227=01020304
discover m1 o227='1.2.3.4
discover m1 o227=0101020304
discover m1 vendor=a%20quoted,%20comma%20b user=%04acct
discover m1 o124=00000009050474657874
discover m1 o124=0000000801aa00000009050474657874
discover m1 o97=00112233 o26=05dc prl=6,1
discover m1 circuit='ab clid=0074657874
discover m1 o119=0161047465737400 o15='xabcx
""",
    ),
    DhcpCase(
        "chains of tag-if",
        POOL + "tag-if=set:x1,tag:lan*\ntag-if=set:x2,tag:!lan*\ntag-if=set:x3,tag:!lan0\ntag-if=set:x4,tag:!nope*\n"
        "tag-if=set:x5,tag:x1,tag:x4\ntag-if=set:late,tag:x6\ntag-if=set:x6,tag:x5\ntag-if=set:x7,set:x8,tag:x6\n"
        "tag-if=set:x9,tag:#x2\ntag-if=set:x10,tag:known\ntag-if=set:x11,tag:!known\ntag-if=set:x12,tag:hosttag\n"
        "tag-if=set:x13,tag:rng\ntag-if=set:x14,tag:rn*\ntag-if=set:ign,tag:vc*,tag:!vcok\ntag-if=set:loop,tag:!loop\n"
        "dhcp-ignore=tag:ign\ndhcp-vendorclass=set:vc1,V\ndhcp-vendorclass=set:vcok,VOK\n"
        "dhcp-host=02:00:00:00:aa:01,set:hosttag\ndhcp-option=tag:x13,224,range\ndhcp-option=tag:x12,tag:!x13,225,host\n"
        "dhcp-range=set:rng,10.77.5.50,10.77.5.99,255.255.255.0,1h\n",
        "discover m1\ndiscover m2\ndiscover m2 vendor=V -> SILENCE\ndiscover m2 vendor=VOK\ndiscover m2 gi=10.77.5.1\n"
        "discover m1 gi=10.77.5.1\ninform m1 ci=10.77.1.99\nbootp m1 -> SILENCE\n",
    ),
    DhcpCase(
        "forms of dhcp-host",
        POOL + "domain=lan.test\ndhcp-host=02:00:00:00:aa:01,set:a,tag:vip,10.77.1.20,vip,10m\n"
        "dhcp-host=02:00:00:00:aa:01,set:b,10.77.1.21,plain\ndhcp-host=02:00:00:00:aa:02,tag:!vip,10.77.1.22,notvip\n"
        "dhcp-host=02:00:00:00:aa:03,id:03:03,10.77.1.23,three.lan.test\n"
        "dhcp-host=02:00:00:00:aa:04,four.other.test,10.77.1.24\ndhcp-host=02:00:00:00:aa:05,set:e,set:f,five,ignore\n"
        "dhcp-host=tag:vip,10.77.1.26,set:onlytag\ndhcp-host=02:00:00:00:aa:07,tag:one,set:two,10.77.1.27\n"
        "dhcp-host=02:00:00:00:aa:08,0.0.0.0\ndhcp-host=02:00:00:00:aa:09,30s,tag:lan0,10.77.1.29\n"
        "dhcp-host=1:2:3:4:5:6,10.77.1.30,\ndhcp-host=24h,blanks , 02:00:00:00:aa:0b , 10.77.1.31\n"
        "dhcp-host=10.77.1.32,02:00:00:00:aa:0c\ndhcp-host=02:00:00:00:aa:0d,12345\n"
        "dhcp-host=02:00:00:00:aa:0e,123abc\ndhcp-host=02:*:00:00:aa:0f,10.77.1.35\n"
        "dhcp-host=*:*:*:*:*:10,10.77.1.36\ndhcp-host=02:00:00:00:aa:11,10.77.1.37,02:00:00:00:aa:12\n"
        "dhcp-vendorclass=set:vip,VIP\ndhcp-mac=set:one,02:00:00:00:aa:07\ndhcp-option=tag:a,224,tag-a\n"
        "dhcp-option=tag:b,225,tag-b\ndhcp-option=tag:two,226,two\ndhcp-option=tag:onlytag,227,only\n",
        f"""
discover m1
discover m1 vendor=VIP
dora m1 vendor=VIP
dora m1
request m1 ci=10.77.1.20 uni -> NAK
request m1 ci=10.77.1.21 uni vendor=VIP -> NAK
discover m2
discover m2 vendor=VIP
dora m3
dora m3 clid=0303
dora m4 {ALL}
dora m4 name=four {ALL}
dora m4 fqdn=1:four.other.test {ALL}
discover m5 -> SILENCE
discover m6 vendor=VIP
discover m7
discover m8
dora m9
dora 010203040506
dora m11
dora m12
dora m13
dora m14
dora m15
dora m16
dora m17
discover m18
request m19 req=10.77.1.20 {SID} -> NAK
""",
    ),
    DhcpCase(
        "two clients with one id",
        POOL + "dhcp-host=id:0a:0b,10.77.1.20,byid\ndhcp-host=02:00:00:00:aa:03,10.77.1.23,bymac\n",
        f"""
dora m1
dora m1 clid=ff01
dora m1
dora m2 clid=ff01
dora m1 clid=0a0b name=x
dora m2 clid=0a0b name=y
request m1 ci=10.77.1.20 uni clid=0a0b ! ~target : dnsmasq sends it where the kernel's neighbours lead, to m2
request m2 ci=10.77.1.20 uni -> NAK
dora m3 clid=0a0b
dora m3
dora m3 clid=0c0d
dora m4 clid=0c0d
leases
release m4 ci=. {SID} uni
release m4 ci=. {SID} uni clid=0c0d
dora m5 clid=aa01
dora m5 clid=aa02
dora m5
leases
""",
    ),
    DhcpCase(
        "ranges that overlap",
        BASE + "dhcp-range=set:a,10.77.1.50,10.77.1.60,1h\ndhcp-range=set:b,10.77.1.55,10.77.1.70,2h\n"
        "dhcp-range=tag:x,set:c,10.77.1.80,10.77.1.90,3h\ndhcp-userclass=set:x,X\n",
        """
dora m1
dora m1 req=10.77.1.58
dora m2 req=10.77.1.65
discover m4 user=X
dora m4 user=X req=10.77.1.57
request m4 ci=. uni user=X
request m4 ci=. uni
dora m5 user=X
request m5 ci=. uni user=X
request m5 ci=. uni -> NAK
dora m5
""",
    ),
    DhcpCase(
        "reservations read again",
        POOL + "dhcp-hostsfile=$DIR/hosts.f\n",
        f"""
dora m1
dora m2 req=10.77.1.80
write hosts.f
hup
discover m1
request m1 ci=. uni
request m2 ci=. uni -> NAK
discover m2
dora m2
dora m1
request m3 req=10.77.1.81 {SID} -> NAK
dora m4
""",
        files={"hosts.f": "# none\n"},
        later={"hosts.f": "02:00:00:00:aa:01,10.77.1.80,one\n02:00:00:00:aa:04,10.77.1.81\n"},
    ),
    DhcpCase(
        "names and options read again",
        HOSTS + "domain=lan.test\nexpand-hosts\ndhcp-optsfile=$DIR/opts\n",
        """
dora m1 name=one
dora m2 req=10.77.1.80
dns one A
write hosts
write opts
hup
dns one A
dns eighty A
dns one.lan.test A
leases
request m1 ci=. uni
request m2 ci=. uni prl=12,15,224
dora m2
dora m1 name=one
dns eighty.lan.test A
""",
        files={"hosts": "# none\n", "opts": "224,one\n"},
        later={"hosts": "10.77.1.80 eighty\n10.9.9.9 one\n", "opts": "224,two\ntag:x,225,b2\n"},
    ),
    DhcpCase(
        "another configuration after a restart",
        POOL + "domain=lan.test\ndhcp-host=02:00:00:00:aa:01,10.77.1.20,one\n",
        """
dora m1
dora m2 name=two req=10.77.1.60
dora m3 name=three req=10.77.1.140
dora m4 name=four req=10.77.1.141 clid=0404
write conf
restart
dns one.lan.test A
dns two.new.test A
leases
request m1 ci=10.77.1.20 uni -> NAK
request m1 req=10.77.1.20 -> NAK
dora m1
request m2 ci=10.77.1.60 uni
request m3 ci=10.77.1.140 uni -> NAK
dora m3 name=three
request m4 req=10.77.1.141 clid=0404 -> NAK
dora m4 name=four clid=0404
""",
        later={
            "conf": "user=root\npid-file=\nlog-facility=$DIR/log\n" + BASE + "dhcp-range=10.77.1.50,10.77.1.100,30m\n"
            "domain=new.test\ndhcp-host=02:00:00:00:aa:02,zwei\ndhcp-host=02:00:00:00:aa:05,10.77.1.20\ndhcp-option=224,new\n"
        },
        differs="~lease_order : dnsmasq turns the order round at each start",
    ),
    DhcpCase(
        "domains and lease times by range",
        BASE + "dhcp-range=10.77.1.50,10.77.1.60,20m\ndhcp-range=10.77.2.50,10.77.2.60,infinite\n"
        "dhcp-range=10.77.5.50,10.77.5.60,255.255.255.0,2h\ndomain=one.test,10.77.1.0/24\ndomain=two.test,wan0\n"
        "domain=five.test,10.77.5.0/24,local\ndomain=lan.test\nlocal=/lan.test/\n",
        """
dora m1 name=aa prl=15
dora m2 name=bb on=up1 prl=15
dora m3 name=cc gi=10.77.5.1 prl=15
dora m4 name=aa on=up1 fqdn=1:qq.two.test
dns aa.one.test A
dns cc.five.test A
dns nope.five.test A
dns nope.lan.test A
dns nope.one.test A
dns 77.5.77.10.in-addr.arpa PTR
restart ! ~log_order : the ranges are logged in another order
dns aa.one.test A
dns qq.two.test A
dns cc.five.test A
request m1 ci=. uni
request m2 ci=. on=up1 uni
dns bb.two.test A
""",
        differs="~lease_order : dnsmasq turns the order round at each start",
    ),
    DhcpCase(
        "a name in several domains",
        POOL + "dhcp-fqdn\ndomain=lan.test\ndomain=a.test,10.77.1.50,10.77.1.99\n"
        "dhcp-host=02:00:00:00:aa:05,pc,10.77.1.55\n",
        """
dora m1 name=pc req=10.77.1.60
dora m2 name=pc req=10.77.1.110
leases
dns pc A
dns pc.a.test A
dns pc.lan.test A
dora m5
dns pc.a.test A
dora m3 name=pc.a.test req=10.77.1.111
dora m4 name=pc.lan.test req=10.77.1.112
restart
leases
dns pc.lan.test A
""",
        differs="~lease_order : dnsmasq turns the order round at each start",
    ),
    DhcpCase(
        "the life of a name",
        POOL + "domain=lan.test\nlocal=/lan.test/\ncname=alias,one\ncname=two.lan.test,one.lan.test\nexpand-hosts\n"
        "localise-queries\nfilter-AAAA\nbogus-priv\n",
        """
dns alias A
dora m1 name=one lease=120
dora m1
dns alias A
dns two.lan.test A
dns one.lan.test AAAA
dns one.lan.test TXT
dns x.one.lan.test A
dora m1 name=
dns one A
dora m1 name=eins
dns one A
dora m1 fqdn=1:uno name=un
request m1 ci=. uni name=jeden
dns jeden A
request m1 ci=. uni
dns jeden A
release m1 ci=. sid=10.77.1.1 uni
dns jeden A
dns 150.1.77.10.in-addr.arpa PTR
dora m1
""",
    ),
    DhcpCase(
        "declined again and again",
        BASE + "dhcp-range=10.77.1.50,10.77.1.53,1h\ndhcp-host=02:00:00:00:aa:06,10.77.1.20\n",
        f"""
dora m1
decline m1 req=. {SID}
dora m1
decline m1 req=. {SID}
dora m1
dora m2
dora m3
dora m4
discover m5 -> SILENCE
decline m2 req=. {SID}
discover m5
dora m6
decline m6 req=. {SID}
hup
discover m6
restart
dora m6
""",
        differs="~lease_order : dnsmasq turns the order round at each start",
    ),
    DhcpCase(
        "agents",
        POOL + "dhcp-circuitid=set:c1,00:11:22\ndhcp-circuitid=set:c2,001122\ndhcp-circuitid=set:c3,text\n"
        "dhcp-remoteid=set:r1,aa\ndhcp-remoteid=set:r2,aa:bb\ndhcp-subscrid=set:s1,a b\ndhcp-ignore=tag:r1\n"
        "dhcp-option=tag:c1,224,circuit\n",
        """
discover m1 circuit=001122
discover m1 circuit='001122
discover m1 circuit='texts
discover m1 remote='aa -> SILENCE
discover m1 circuit='text remote=aabb subscr='a%20b gi=10.77.1.2
request m1 req=10.77.1.60 sid=10.77.1.1 circuit=001122
request m1 ci=10.77.1.60 uni
""",
    ),
    DhcpCase(
        "a host on several networks",
        BASE + "dhcp-range=set:one,10.77.1.50,10.77.1.60,1h\ndhcp-range=set:two,10.77.2.50,10.77.2.60,2h\n"
        "dhcp-range=set:five,10.77.5.50,10.77.5.60,255.255.255.0,3h\ndhcp-host=02:00:00:00:aa:01,10.77.1.55,one\n"
        "dhcp-host=02:00:00:00:aa:01,10.77.2.55,two,10m\ndhcp-host=02:00:00:00:aa:01,set:none\n"
        "dhcp-host=02:00:00:00:aa:02,10.77.5.5,five\ndhcp-option=tag:known,224,known\n"
        "dhcp-option=tag:known-othernet,225,other\ndhcp-option=tag:!known,226,unknown\ndhcp-ignore=tag:two,tag:!known\n",
        """
dora m1
dora m1 on=up1
dora m1 gi=10.77.5.1
dora m2
dora m2 on=up1
dora m2 gi=10.77.5.1
dora m3 on=up1
discover m3
bootp m2 gi=10.77.5.1
inform m2 ci=10.77.1.99
dora m1 name=x gi=10.77.5.1
""",
    ),
    DhcpCase(
        "ranges for known and unknown",
        BASE + "dhcp-range=tag:!known,set:guest,10.77.1.50,10.77.1.60,2m\n"
        "dhcp-range=tag:known,set:home,10.77.1.70,10.77.1.80,1d\ndhcp-host=02:00:00:00:aa:01,home\n"
        "dhcp-host=02:00:00:00:aa:02,10.77.1.55\ndhcp-host=02:00:00:00:aa:03,10.77.1.200,set:x\n"
        "dhcp-option=tag:guest,6,10.77.1.9\ndhcp-option=tag:home,tag:!guest,6,10.77.1.8\ndhcp-option=tag:!home,42,10.77.1.7\n",
        """
dora m1
dora m2
dora m3
dora m4
request m1 ci=. uni
request m4 ci=. uni
request m4 req=10.77.1.71 sid=10.77.1.1 -> NAK
inform m1 ci=10.77.1.72
inform m5 ci=10.77.1.52
bootp m2
""",
    ),
]
