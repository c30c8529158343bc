"""Configurations for booting over the network and packets of boot ROMs, in the words of `dhcp_oracle_cases.py`.

A ROM gets its address on port 67, and on port 4011 it asks for the menu (of a proxy) and
for the item that was chosen.  What dnsmasq 2.90 does not know (dhcp-option-pxe) is not here.
"""

from __future__ import annotations

import re
from dataclasses import replace

from dhcp_oracle_cases import BASE, L60, L100, L200, POOL, QUIET, RANGE, SID, DhcpCase

ROM = "prl=1,3,6,43,60,66,67,97,128,129"
BINL = "dport=4011 uni"
AT = "ci=10.77.1.77"
IPXE = "o175=b105018086100e user=iPXE"
HTTP = "vendor=HTTPClient:Arch:00016:UNDI:003001 o93=0010 o94=010300 o97=0000112233445566778899aabbccddeeff"
PROXY = BASE + "dhcp-range=10.77.1.0,proxy\n"
NAMES = {"hosts": "10.77.1.31 srv.test srv\n10.77.1.31 boot\n"}
WITH_NAMES = "addn-hosts=$DIR/hosts\n"
BIOS = "pxe-service=x86PC,Install Linux,pxelinux\n"
SERVICES = (
    BIOS + "pxe-service=x86-64_EFI,Efi,grubx64.efi\npxe-service=BC_EFI,one,bc1\npxe-service=BC_EFI,two,bc2\n"
    "pxe-service=16,Http,sixteen.efi,10.77.1.16\n"
)
ALL_KINDS = """pxe-service=x86PC,Install Linux,pxelinux
pxe-service=x86PC,With a dot,a/b.c
pxe-service=x86PC,Type,1
pxe-service=x86PC,Type and server,33000,10.77.1.9
pxe-service=x86PC,Local disk,0
pxe-service=x86PC,Nothing
pxe-service=x86PC,Server,net,10.77.1.8
pxe-service=x86PC,Named,named,srv.test
pxe-service=x86PC,Unknown,unkn,nosuch.test
pxe-service=x86PC,"Quoted, text",7,boot
pxe-service=PC98,pc98,a98
pxe-service=IA64_EFI,ia64,a64
pxe-service=Alpha,alpha,al
pxe-service=Arc_x86,arc,ar
pxe-service=Intel_Lean_Client,lean,le
pxe-service=IA32_EFI,ia32,ia32.efi,10.77.1.6
pxe-service=x86-64_EFI,x64 one,x1
pxe-service=x86-64_EFI,x64 two,x2
pxe-service=Xscale_EFI,xscale,xs
pxe-service=BC_EFI,bc local,0
pxe-service=ARM32_EFI,arm32,arm32
pxe-service=ARM64_EFI,arm64,5
pxe-service=ARM64_EFI,arm64,arm64
pxe-service=16,sixteen,http16
pxe-service=x86PC,Type seven,7,10.77.1.7
"""


def archs(*numbers: int, words: str = "", kind: str = "discover") -> str:
    return "".join(f"{kind} m1 pxe={number} {words}\n" for number in numbers)


def both(arch: int, words: str = "") -> str:
    """What a ROM asks a proxy: on port 67, then on port 4011."""
    return f"discover m1 pxe={arch} {words}\nrequest m1 {AT} pxe={arch} {words} {BINL} sport=4011\n"


# What may stand after the text of an item.
KINDS = (
    "", ",", ",0", ",5", ",grub", ",grub,srv.test", ",grub,nosuch.test", ",grub,0.0.0.0", ",grub.efi,10.77.1.9",
    ",a.b/c", ",5,10.77.1.9", ",5,srv.test", ",5,nosuch.test", ",65535,boot", ",0,10.77.1.9", ",http://boot.test/x.efi",
)  # fmt: skip
# In 2.90 a UEFI client of an ordinary range gets neither menu nor file when there is one file for it.
FILE_AT_ONCE = " ! ~siaddr ~file ~sname ~options ~length ~log : 2.90 leaves UEFI without its only file"


def kind_packets(base: str, kind: str) -> str:
    at_once = FILE_AT_ONCE if base == POOL and re.match(",[^,\\d]", kind) else ""
    return "".join(
        f"discover m1 pxe={arch} {ROM}{at_once if arch == 7 else ''}\nrequest m1 {AT} pxe={arch} {BINL}\n"
        f"request m1 {AT} pxe={arch} item=32768.0 {BINL}\n"
        for arch in (0, 7)
    )


PROMPTS = ("Press F8", "Press F8,0", "Press F8,10", "Press F8,255", '"a, b",3', "tag:lan0,yes,7", "tag:none,no,7")

ROM_PACKETS = f"""
discover m1 pxe=0 {ROM}
dora m1 pxe=0
discover m1 pxe=0 prl=1,3,6
discover m1 pxe=0 prl=1,3,43
discover m1 pxe=0 bcast
request m1 ci=. pxe=0 {ROM} uni
inform m1 ci=. pxe=0 {ROM}
inform m1 ci=. pxe=0 prl=1,3
discover m2
discover m2 {ROM}
discover m3 vendor=PXEClient:Arch:00000:UNDI:002001
discover m3 vendor=PXEClient o93=0000
discover m3 vendor=PXEClientX o93=0000
discover m3 vendor=pxeclient o93=0000
discover m3 vendor=PXEClien o93=0000
discover m3 vendor=XPXEClient o93=0000
discover m3 o93=0000
discover m3 vendor=PXEClient o93=00
discover m3 vendor=PXEClient o93=
discover m3 vendor=PXEClient o93=00000007
discover m3 vendor=PXEClient o93=00070000
discover m3 vendor=PXEClient o93=0000 o97=0011
discover m3 vendor=PXEClient o93=0000 o97=00112233445566778899aabbccddeeff0011
discover m3 pxe=0 o97=
dora m5 pxe=0 name=diskless clid=0005
request m5 req=10.77.1.99 pxe=0
request m6 req=10.77.1.99 pxe=0
release m5 ci=. {SID} pxe=0 uni
bootp m4
bootp m4 pxe=0
discover m4 pxe=0
"""
ITEMS = f"""
dora m1 pxe=0 req=10.77.1.77 {ROM}
request m1 {AT} pxe=0 item=32768.0 {BINL}
request m1 {AT} pxe=0 item=32768.0 {BINL} sport=4011
request m1 {AT} pxe=0 item=32768.0 {BINL} sport=5000
request m1 {AT} pxe=0 item=32768.0
request m1 {AT} pxe=0 item=32768.0 sport=4011
request m1 {AT} pxe=0 item=32768.0 uni
request m1 {AT} pxe=0 item=32768.0 bcast
request m1 {AT} pxe=0 item=32768.0 dport=4011
request m1 {AT} pxe=0 item=32768.0 {BINL} bcast
request m1 {AT} pxe=0 item=32768.0 {BINL} hops=3 secs=9
inform m1 {AT} pxe=0 item=32768.0 {BINL}
inform m1 {AT} pxe=0 item=32768.0
inform m1 {AT} pxe=0 item=32768.0 {ROM}
request m1 {AT} pxe=0 item=32768.1 {BINL}
request m1 {AT} pxe=0 item=32768.32767 {BINL}
request m1 {AT} pxe=0 item=32769.2 {BINL}
request m1 {AT} pxe=0 item=1.0 {BINL}
request m1 {AT} pxe=0 item=33000.0 {BINL}
request m1 {AT} pxe=0 item=0.0 {BINL}
request m1 {AT} pxe=0 item=32770.0 {BINL}
request m1 {AT} pxe=0 item=32771.0 {BINL}
request m1 {AT} pxe=0 item=32772.0 {BINL}
request m1 {AT} pxe=0 item=32773.0 {BINL}
request m1 {AT} pxe=7 item=32778.0 {BINL}
request m1 {AT} pxe=0 item=32778.0 {BINL}
request m1 {AT} pxe=0 item=32768.32768 {BINL}
request m1 {AT} pxe=0 item=32768.32769
request m1 {AT} pxe=0 item=9999.0 {BINL}
request m1 {AT} pxe=0 item=9999.0
request m1 {AT} pxe=0 item=32768.0 {BINL} {ROM}
request m1 {AT} pxe=0 item=32768.0 {BINL} prl=1,3
request m1 {AT} pxe=0 item=32768.0 {BINL} {SID}
request m1 {AT} pxe=0 item=32768.0 {BINL} sid=10.77.1.99
request m1 req=. pxe=0 item=32768.0 {BINL} {SID}
request m1 req=. pxe=0 item=32768.0 {SID}
request m1 pxe=0 item=32768.0
request m1 pxe=0 item=32768.0 dport=4011
request m1 from=10.77.1.78 pxe=0 item=32768.0 {BINL}
request m1 {AT} from=10.77.1.78 pxe=0 item=32768.0 {BINL}
request m2 ci=10.77.1.79 pxe=0 item=32768.0 {BINL}
request m2 ci=10.77.2.77 pxe=0 item=32768.0 {BINL}
request m2 ci=10.9.9.77 pxe=0 item=32768.0 {BINL}
request m2 ci=10.77.1.79 pxe=0 item=32768.0 {BINL} on=up1
discover m1 pxe=0 item=32768.0
discover m1 pxe=0 item=32768.0 dport=4011
request m1 {AT} {BINL} o93=0000 item=32768.0
request m1 {AT} {BINL} vendor=PXEClient item=32768.0
request m1 {AT} {BINL} vendor=PXEClient item=32768.0 o97=0011
request m1 {AT} {BINL} vendor=MSFT item=32768.0
request m1 {AT} pxe=0 {BINL} o43=4704800000
request m1 {AT} pxe=0 {BINL} o43=470480000000
request m1 {AT} pxe=0 {BINL} o43=4704800000ff
request m1 {AT} pxe=0 {BINL} o43=470380000000
request m1 {AT} pxe=0 {BINL} o43=47058000000001ff
request m1 {AT} pxe=0 {BINL} o43=0601034704800000004501aaff
request m1 {AT} pxe=0 {BINL} o43=000047048000000000
request m1 {AT} pxe=0 {BINL} o43=ff470480000000
request m1 {AT} pxe=0 {BINL} o43=47048001000047048000000000ff
request m1 {AT} pxe=0 item=32768.0 {BINL} circuit=0011
request m1 {AT} pxe=0 item=32768.0 {BINL} gi=10.77.1.2
request m1 {AT} pxe=0 item=32768.0 gi=10.77.1.2
request m1 {AT} pxe=0 item=32768.0 {BINL} rapid=
"""
NOT_ON_4011 = f"""
dora m1
discover m1 dport=4011
discover m1 pxe=0 dport=4011
discover m1 pxe=7 dport=4011
request m1 ci=. {BINL}
request m1 req=. {SID} {BINL}
request m1 ci=. pxe=0 {BINL}
request m1 ci=. pxe=7 {BINL} sport=4011
request m1 ci=. pxe=0 {ROM} {BINL}
inform m1 ci=. {BINL}
inform m1 ci=. pxe=0 {BINL}
release m1 ci=. {SID} {BINL}
decline m1 req=. {SID} {BINL}
bootp m1 dport=4011
bootp m1 pxe=0 dport=4011
discover m1 pxe=0 dport=4011 gi=10.77.1.2
discover m1 op=2 dport=4011
leases
"""
PROXY_PACKETS = f"""
sockets
{archs(0, 6, 7, 9, 2, 11, 16)}
discover m1 pxe=0 {ROM}
discover m1 pxe=0 bcast
discover m1 vendor=PXEClient:Arch:00000:UNDI:002001
discover m1
discover m1 {ROM}
request m1 req=10.77.1.77 sid=10.77.1.99 pxe=0 {ROM}
request m1 req=10.77.1.77 {SID} pxe=0 {ROM}
request m1 {AT} pxe=0 {ROM}
inform m1 {AT} pxe=0 {ROM}
inform m1 {AT}
{archs(0, 6, 7, 9, 2, 11, 16, words=f"{AT} {BINL} sport=4011 {ROM}", kind="request")}
request m1 {AT} pxe=0 {BINL}
request m1 {AT} pxe=7 {BINL} sport=5000
inform m1 {AT} pxe=0 {ROM} {BINL} sport=4011
request m1 pxe=0 {BINL} sport=4011
request m1 from=10.77.1.77 pxe=0 {BINL} sport=4011
request m1 {AT} from=10.77.1.78 pxe=0 {BINL}
request m1 {AT} pxe=0 {BINL} bcast
request m1 pxe=0 dport=4011 sport=4011
request m1 pxe=7 dport=4011 bcast
discover m1 pxe=0 dport=4011
discover m1 from=10.77.1.77 pxe=0 {BINL}
discover m1 pxe=0 {AT}
discover m1 pxe=0 sport=4011
request m1 {AT} {BINL}
request m1 {AT} pxe=0 item=32768.0 {BINL} sport=4011
request m1 {AT} pxe=0 item=32768.0
inform m1 {AT} pxe=7 item=32769.0 {BINL}
request m1 {AT} pxe=0 item=9.0 {BINL}
request m1 pxe=0 item=32768.0 {BINL}
request m1 ci=10.77.9.77 pxe=0 {BINL}
request m1 ci=10.77.2.77 pxe=0 {BINL} on=up1
request m1 {AT} pxe=0 {BINL} {SID}
request m1 {AT} pxe=0 {BINL} sid=10.77.1.99
discover m1 pxe=0 sid=10.77.1.99
discover m1 pxe=0 req=10.77.1.88 name=foo clid=0102 lease=600 rapid=
bootp m1
bootp m1 pxe=0
release m1 {AT} {SID}
decline m1 req=10.77.1.77 {SID}
discover m1 pxe=0 gi=10.77.1.2
discover m1 pxe=7 gi=10.77.1.2
request m1 {AT} pxe=0 gi=10.77.1.2 {BINL}
discover m1 pxe=0 gi=10.77.5.1
discover m1 pxe=0 circuit=0011
request m1 {AT} pxe=0 circuit=0011 {BINL}
discover m1 pxe=0 on=up1
discover m1 pxe=0 htype=6
discover m1 pxe=0 secs=9 hops=3
discover m1 vendor=PXEClient o93=0000
discover m1 vendor=PXEClient o93=00
"""
ROM_SHORT = f"""
discover m1 pxe=0 {ROM}
dora m1 pxe=0
dora m2 {ROM}
request m1 ci=. pxe=0 uni
inform m1 ci=. pxe=0 {ROM}
request m5 req=10.77.1.99 pxe=0
discover m6 pxe=0 rapid=
release m1 ci=. {SID} pxe=0 uni
request m1 {AT} pxe=0 item=32768.0
request m1 {AT} pxe=0 item=32768.0 {BINL}
request m1 {AT} pxe=0 item=32768.32768 {BINL}
request m1 {AT} pxe=0 item=9.0 {BINL}
request m1 {AT} pxe=0 {BINL}
"""
PROXY_SHORT = f"""
sockets
{both(0)}{both(7)}{both(9)}
discover m1
discover m1 vendor=PXEClient:Arch:00000:UNDI:002001
request m1 {AT} pxe=0 {BINL} bcast
request m1 from=10.77.1.77 pxe=0 {BINL}
discover m1 pxe=0 {AT} rapid=
request m1 {AT} pxe=0 item=32768.0 {BINL} sport=4011
request m1 {AT} pxe=0 item=32768.0
request m1 req=10.77.1.77 {SID} pxe=0
request m1 {AT} pxe=0
inform m1 {AT} pxe=0
bootp m1 pxe=0
discover m1 pxe=0 gi=10.77.1.2
"""
# With the line of the proxy first dnsmasq answers nobody but ROMs, even if its tags are
# others; ours serves the other range whatever the order.  So only ROMs are compared.
MIXED_ROMS = f"""
{both(0)}{both(7)}{both(9)}
request m3 ci=10.77.1.55 pxe=0 {BINL}
request m3 ci=10.77.1.55 pxe=0 item=32768.0 {BINL}
request m3 ci=10.77.1.55 pxe=0 item=32768.0
inform m3 ci=10.77.1.55 pxe=7 item=32768.0 {BINL}
"""
MIXED = f"""
{both(0)}
{both(7)}
dora m2 pxe=0
dora m3
request m3 req=10.77.1.55 {SID}
request m3 req=10.77.1.55
request m4 ci=10.77.1.55
inform m3 ci=10.77.1.55
bootp m3
request m3 req=10.77.1.55 pxe=0
request m3 ci=10.77.1.55 pxe=0 {BINL}
request m3 ci=10.77.1.55 pxe=0 item=32768.0 {BINL}
dora m5 pxe=7 name=five
release m3 ci=10.77.1.55 {SID}
"""
HTTP_PACKETS = f"discover m1 {HTTP} {ROM}\ndora m1 {HTTP}\ndiscover m1 {HTTP} prl=1,3\ndiscover m2\n"
ARCH_TAGS = "".join(
    f"dhcp-match=set:{tag},option:client-arch,{value}\ndhcp-boot=tag:{tag},{tag}.img\n"
    for tag, _, value in (word.partition(",") for word in "bios,0 efi32,6 bc,7 x64,9 arm,11 http,16 hex,00:0a".split())
)
IPXE_CONF = """dhcp-match=set:ipxe,175
dhcp-boot=tag:!ipxe,undionly.kpxe
dhcp-boot=tag:ipxe,http://boot.test/menu.ipxe
pxe-service=tag:!ipxe,x86PC,first,undionly
pxe-service=tag:ipxe,x86PC,second,script.ipxe,10.77.1.9
pxe-service=tag:!ipxe,x86-64_EFI,first,ipxe.efi
pxe-service=tag:ipxe,x86-64_EFI,second,http://boot.test/menu.ipxe
dhcp-option=tag:ipxe,encap:175,1,5b
dhcp-option=tag:ipxe,encap:175,176,1b
dhcp-option=tag:ipxe,209,config.cfg
"""
VENDOR_OPTIONS = """dhcp-option=6,10.77.1.5
dhcp-option=43,01:02
dhcp-option=vendor:PXEClient,1,0.0.0.0
dhcp-option=vendor:PXEClient,6,2b
dhcp-option=vendor:OTHER,7,7b
dhcp-option=vendor:PXE,9,text
dhcp-option-force=208,aa
dhcp-option=66,srv
dhcp-option=67,file.x
dhcp-option=150,10.77.1.9
dhcp-option=60,hello
"""
MENU_TEXT = "x" * 20
TOO_LARGE = f"pxe-service=x86PC,{MENU_TEXT},f\n" * 11
OPTION_PACKETS = (
    f"discover m1 pxe=0\ndiscover m1 pxe=0 {ROM}\ndiscover m1 pxe=7 {ROM}\ndora m1 pxe=0 prl=1,60\n"
    f"request m1 {AT} pxe=7 {BINL} {ROM}\nrequest m1 {AT} pxe=0 {BINL} {ROM}\n"
    f"request m1 {AT} pxe=0 {BINL} {ROM} item=32768.0\ndiscover m2\ndiscover m2 vendor=PXE\n"
)
MENU_PACKETS = f"discover m1 pxe=0 size=1500\ndiscover m1 pxe=0 prl=1,3\nrequest m1 {AT} pxe=0 {BINL}\n"
MENU_PACKETS += f"request m1 {AT} pxe=0 item=32768.0\ndiscover m1 pxe=0 {ROM}\n"

# What dnsmasq answers to the packets of a case, one letter each (two for dora); cases that
# are not here are answered as one hopes for.
ANSWERS = """
pxe rom : OOAOOOAAAO OOOOOOOOOO OOOOOOAN.. BBO
pxe rom without log-dhcp : OOAOAAA.O. AA...
pxe rom quiet : OOAOAAA.O. AA...
pxe rom authoritative : OOAOAAAAA. AA...
pxe item with nothing 0 : O..O..
pxe proxy, item with nothing 0 : OA.OA.
pxe item with nothing 1 : O..O..
pxe proxy, item with nothing 1 : OA.OA.
pxe item 0 2 : O..O..
pxe proxy, item 0 2 : OA.OA.
pxe item 5 3 : O..O..
pxe proxy, item 5 3 : OA.OA.
pxe item grub 4 : O.AO.A
pxe item grub,srv.test 5 : O.AO.A
pxe item grub,nosuch.test 6 : O.AO.A
pxe item grub,0.0.0.0 7 : O.AO.A
pxe item grub.efi,10.77.1.9 8 : O.AO.A
pxe item a.b/c 9 : O.AO.A
pxe item 5,10.77.1.9 10 : O..O..
pxe proxy, item 5,10.77.1.9 10 : OA.OA.
pxe item 5,srv.test 11 : O..O..
pxe proxy, item 5,srv.test 11 : OA.OA.
pxe item 5,nosuch.test 12 : O..O..
pxe proxy, item 5,nosuch.test 12 : OA.OA.
pxe item 65535,boot 13 : O..O..
pxe proxy, item 65535,boot 13 : OA.OA.
pxe item 0,10.77.1.9 14 : O..O..
pxe proxy, item 0,10.77.1.9 14 : OA.OA.
pxe boot file and items : OOOOOOOOOO OOOOOOAOAO AOAO.
pxe boot file alone : OOOO..
pxe what is not for port 4011 : OA........ ........
pxe what is not for port 4011 of a proxy : .......... ......O.
pxe one interface only : O.A.
pxe options and items : OOOOA..AOO
pxe options without items : OOOOA...OO
pxe options and a prompt : OOOOA...OO
pxe menu too large : OO.AO
pxe menu too large, with prompt : OO.AOO
pxe proxy : OOOOOOOOO. .......AAA AAAAAA..AA A...OOO.AA A....AAOO. ...OOA.OA. OOO.
pxe proxy without log-dhcp : OAOAOA..AA OAA....O
pxe proxy with boot file and prompt : OAOAOA..AA OAA....O
pxe proxy with a prompt alone : OAOAOA..AA O......O
pxe proxy with a boot file alone : .......... ........
pxe proxy with nothing : .....
pxe proxy authoritative : OAOAOA..AA OAA....O
pxe proxy bound to an interface : OAOA.
pxe proxy on two links : OA..
pxe proxy, other ports : .A.AOOAO
pxe proxy after a pool : OAOAONOAAA .A.AAAON.
pxe proxy and a pool with tags : OAOAON.NN. .A..AAON.
pxe proxy on one link, a pool on the other : O.O.OAOAAA .A.A.AOA.O ..O.OAA.
pxe proxy, known clients only : .O.A
pxe proxy ignores without log-dhcp : ...
pxe proxy and options : OOOO.AAA..
pxe proxy and options, no items : OOOO.AA...
pxe proxy behind a relay : OOOOAAAA.
pxe proxy of a whole class : .OOA
pxe proxy on a subnet with a mask of its own : ..A
pxe another vendor : OOOOOO.A
pxe items asked for : OAAAAAAAAA AAAAAAAA.. .AAAAAA... .AAAA..... AA..AO..AA ..AA.AAA.A AAAA
pxe items asked for, proxy : O.AAAAAAAA AAAAAAAA.. .AAAAAA... .AAAA..... AA..AO..AA .AAAAAAAAA AAAA
pxe item http://boot.test/x.efi 15 : O.AO.A
pxe vendor HTTPClient : OOAOOOOA.
pxe vendor HTTPClient of a proxy : OO.O.OOAA
http boot beside a proxy : .....
pxe proxy bound to what comes : OA..
pxe proxy with tags and a pool : OAOAOA.AAA
pxe proxy after static leases : OAOAONOAAA .ABAAAON.
pxe proxy, chosen clients : OO...O.OOO A.
"""
OUTCOMES = {"O": "OFFER", "A": "ACK", "N": "NAK", "B": "BOOTP", ".": "SILENCE"}


def answered(case: DhcpCase) -> DhcpCase:
    """The case with the outcomes of `ANSWERS` in its lines."""
    found = next((line for line in ANSWERS.splitlines() if line.startswith(f"{case.name} : ")), "")
    letters = list(found.rpartition(" : ")[2].replace(" ", ""))
    lines = []
    for line in case.exchanges.splitlines() if letters else ():
        rest, mark, difference = line.partition(" ! ")
        if rest.startswith(("dora", "discover", "request", "inform", "decline", "release", "bootp")):
            rest += " -> " + " ".join(OUTCOMES[letters.pop(0)] for _ in range(2 if rest.startswith("dora") else 1))
        lines.append(rest + mark + difference)
    assert not letters, f"{case.name}: more answers than packets"
    return replace(case, exchanges="\n".join(lines)) if lines else case


_CASES = [
    # -- a server that gives addresses -------------------------------------------------
    DhcpCase("pxe rom", POOL + BIOS + "dhcp-host=02:00:00:00:aa:04,10.77.1.20,booter\n", "sockets\n" + ROM_PACKETS),
    DhcpCase("pxe rom without log-dhcp", QUIET + RANGE + BIOS, ROM_SHORT),
    DhcpCase("pxe rom quiet", QUIET + RANGE + BIOS + "quiet-dhcp\n", ROM_SHORT),
    DhcpCase("pxe rom authoritative", POOL + BIOS + "dhcp-authoritative\ndhcp-rapid-commit\n", ROM_SHORT),
    DhcpCase(
        "pxe all kinds of items",
        POOL + WITH_NAMES + ALL_KINDS,
        archs(0, 1, 2, 3, 4, 5, 7, 9, 12, 65535, words=f"size=1500 {ROM}")
        + archs(6, 8, 10, 11, 16, words=f"size=1500 {ROM}{FILE_AT_ONCE}")
        + archs(0, 7, words="prl=1,3"),
        files=NAMES,
    ),
    DhcpCase(
        "pxe proxy, all kinds of items",
        PROXY + WITH_NAMES + ALL_KINDS,
        "".join(both(arch, "size=1500") for arch in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 65535)),
        files=NAMES,
    ),
    *(
        DhcpCase(
            f"pxe {'proxy, ' if 'proxy' in base else ''}item {kind[1:] or 'with nothing'} {number}",
            base + WITH_NAMES + f"pxe-service=x86PC,Text{kind}\npxe-service=x86-64_EFI,Text{kind}\n" + boot,
            kind_packets(base, kind),
            files=NAMES,
        )
        for number, kind in enumerate(KINDS)
        for base, boot in ((POOL, ""), (PROXY, "dhcp-boot=b.0,name,10.77.1.8\n" if number % 2 else ""))
    ),
    *(
        DhcpCase(
            f"pxe prompt {prompt}",
            POOL + f"pxe-prompt={prompt}\n{BIOS}pxe-service=BC_EFI,a,ax\npxe-service=BC_EFI,b,bx\n",
            archs(0, 7, 9) + f"request m1 {AT} pxe=0 item=32768.0 {BINL}\n",
        )
        for prompt in PROMPTS
    ),
    DhcpCase(
        "pxe prompt alone", POOL + "pxe-prompt=Press F8,10\n", "sockets\n" + archs(0, 7) + archs(0, 7, words="prl=1,3")
    ),
    DhcpCase(
        "pxe prompt and boot file", POOL + "pxe-prompt=Press F8,10\ndhcp-boot=f.0\n", archs(0, 7) + archs(0, words=ROM)
    ),
    DhcpCase(
        "pxe several prompts",
        POOL + "dhcp-boot=a.0\npxe-prompt=First\npxe-prompt=Second,2\npxe-prompt=tag:x,Third,3\npxe-service=x86PC,A,a\n"
        "pxe-service=tag:x,x86PC,B,b\npxe-service=tag:x,tag:lan0,x86PC,C,c\npxe-service=tag:!x,x86PC,D,d\n"
        "pxe-service=tag:x,tag:none,x86PC,E,e\ndhcp-match=set:x,97\ndhcp-option=vendor:PXEClient,1,1.2.3.4\n",
        f"discover m1 pxe=0\ndiscover m1 vendor=PXEClient o93=0000\nrequest m1 {AT} pxe=0 item=32770.0\n"
        f"request m1 {AT} pxe=0 item=32771.0\nrequest m1 {AT} pxe=0 item=32772.0 {BINL}\n",
    ),
    DhcpCase(
        "pxe boot file and items",
        POOL + "dhcp-boot=pxelinux.0,bootsrv,10.77.1.9\n" + SERVICES,
        archs(0, 2, 7, 9, 16, words=ROM)
        + archs(0, 2, 7, 9, 16)
        + archs(0, 2, 7, 9, 16, words="prl=1,3")
        + "dora m1 pxe=0\ndora m1 pxe=7\ndora m1 pxe=9\ndora m2\n"
        + f"discover m2 {ROM}\nbootp m1 pxe=0\n",
    ),
    DhcpCase(
        "pxe boot file alone",
        POOL + "dhcp-boot=pxelinux.0,bootsrv,10.77.1.9\n",
        f"sockets\n{archs(0, 7, words=ROM)}{archs(0, 7)}request m1 {AT} pxe=0 {BINL}\n"
        f"request m1 {AT} pxe=0 item=32768.0\n",
    ),
    DhcpCase("pxe nothing at all", POOL + "dhcp-pxe-vendor=PXEClient\n", f"sockets\n{archs(0, 7, words=ROM)}"),
    DhcpCase(
        "pxe items asked for",
        POOL + WITH_NAMES + "dhcp-boot=fallback.0,bootsrv,10.77.1.9\npxe-prompt=Hello,3\ndhcp-option=42,10.77.1.2\n"
        "dhcp-option-force=208,f1:00:74:7e\ndhcp-option=vendor:PXEClient,1,1.2.3.4\n" + ALL_KINDS,
        ITEMS,
        files=NAMES,
    ),
    DhcpCase("pxe items asked for, proxy", PROXY + WITH_NAMES + ALL_KINDS, ITEMS, files=NAMES),
    *(
        DhcpCase(
            f"pxe items and tags, {'proxy' if 'proxy' in line else 'pool'}",
            BASE
            + line
            + "dhcp-match=set:cl,97\ndhcp-host=02:00:00:00:aa:02,set:hs\n"
            + "".join(
                f"pxe-prompt=tag:{tag},{tag}\npxe-service=tag:{tag},x86PC,{tag},{tag}\n"
                for tag in ("px", "!px", "known", "hs", "lan0", "!lan0", "cl")
            ),
            "".join(
                f"request m{client} ci=10.77.1.7{client} pxe=0 {BINL} item={32768 + number}.0\n"
                for number in range(7)
                for client in (1, 2)
            )
            + "discover m1 pxe=0\ndiscover m2 pxe=0\nrequest m3 ci=10.77.1.73 vendor=PXEClient item=32768.0\n",
        )
        for line in ("dhcp-range=set:px,10.77.1.50,10.77.1.150\n", "dhcp-range=set:px,10.77.1.0,proxy\n")
    ),
    DhcpCase("pxe what is not for port 4011", POOL + BIOS, NOT_ON_4011),
    DhcpCase("pxe what is not for port 4011 of a proxy", PROXY + BIOS, NOT_ON_4011),
    DhcpCase(
        "pxe servers that rotate",
        POOL + WITH_NAMES + "pxe-service=x86PC,T,5,srv.test\npxe-service=x86PC,N,net,srv.test\n",
        "discover m1 pxe=0\n" * 4 + f"request m1 {AT} pxe=0 item=32768.0 {BINL}\n" * 4,
        files={"hosts": "10.77.1.31 srv.test\n10.77.1.32 srv.test\n10.77.1.33 srv.test\n"},
    ),
    DhcpCase(
        "pxe servers from other places",
        POOL
        + "domain=lan.test\nexpand-hosts\n"
        + WITH_NAMES
        + "host-record=rec.test,10.77.1.41\naddress=/adr.test/10.77.1.42\n"
        "cname=alias.test,rec.test\ndhcp-host=02:00:00:00:aa:02,held,10.77.1.43\n"
        + "".join(
            f"pxe-service=x86PC,{name},9,{name}\n"
            for name in (
                "rec.test",
                "adr.test",
                "alias.test",
                "held",
                "leased",
                "leased.lan.test",
                "bare",
                "bare.lan.test",
            )
        ),
        "discover m1 pxe=0 size=1500\ndora m3 name=leased\ndora m2\ndiscover m1 pxe=0 size=1500\nwrite hosts\nhup\n"
        "discover m1 pxe=0 size=1500\n",
        files={"hosts": "10.77.1.44 bare\n"},
        later={"hosts": "10.77.1.45 bare\n10.77.1.46 adr.test\n"},
    ),
    DhcpCase(
        "pxe behind a relay",
        BASE + "dhcp-range=10.77.5.50,10.77.5.60,255.255.255.0,1h\n" + RANGE + BIOS + "pxe-service=x86-64_EFI,E,e.efi\n"
        "dhcp-boot=b.0\n",
        f"""
discover m1 pxe=0 gi=10.77.5.1
discover m1 pxe=7 gi=10.77.5.1 circuit=aa
discover m1 pxe=0 gi=10.77.5.1 over=10.77.5.1
request m1 ci=10.77.5.55 pxe=0 gi=10.77.5.1 item=32768.0
request m1 ci=10.77.5.55 pxe=0 gi=10.77.5.1 item=32768.0 over=10.77.5.1
request m1 ci=10.77.5.55 pxe=0 item=32768.0 {BINL}
discover m1 pxe=0 gi=10.77.1.2 link=10.77.5.0
dora m1 pxe=0 gi=10.77.5.1
""",
    ),
    DhcpCase(
        "pxe on two links",
        POOL
        + "dhcp-range=10.77.2.50,10.77.2.60,1h\npxe-service=x86PC,A,a\npxe-service=tag:wan0,x86PC,B,b\ndhcp-boot=x\n",
        f"""
discover m1 pxe=0
discover m1 pxe=0 on=up1
dora m2 pxe=0 on=up1
request m1 {AT} pxe=0 item=32768.0 {BINL} on=up1
request m1 ci=10.77.2.77 pxe=0 item=32768.0 {BINL} on=up1
request m1 ci=10.77.2.77 pxe=0 item=32769.0 on=up1
request m1 ci=10.77.2.77 pxe=0 item=32768.0 {BINL}
""",
    ),
    DhcpCase(
        "pxe one interface only",
        POOL + "dhcp-range=10.77.2.50,10.77.2.60,1h\nno-dhcp-interface=wan0\n" + BIOS,
        f"sockets\ndiscover m1 pxe=0\ndiscover m1 pxe=0 on=up1\nrequest m1 {AT} pxe=0 item=32768.0 {BINL}\n"
        f"request m1 ci=10.77.2.77 pxe=0 item=32768.0 {BINL} on=up1\n",
    ),
    DhcpCase(
        "pxe options and items",
        POOL + "pxe-service=x86PC,A,a\npxe-service=x86-64_EFI,E,e.efi\n" + VENDOR_OPTIONS,
        OPTION_PACKETS,
    ),
    DhcpCase("pxe options without items", POOL + "dhcp-boot=x\n" + VENDOR_OPTIONS, OPTION_PACKETS),
    DhcpCase(
        "pxe options and a prompt",
        POOL + "pxe-prompt=p,1\n" + VENDOR_OPTIONS.replace("option=vendor", "option-force=vendor"),
        OPTION_PACKETS,
    ),
    DhcpCase(
        "pxe and little room",
        POOL + f"dhcp-boot=pxelinux.0,bootsrv,10.77.1.9\ndhcp-option=224,{L200}\ndhcp-option=225,{L60}\n" + BIOS,
        f"discover m1 pxe=0\ndiscover m1 pxe=0 size=600\ndiscover m1 pxe=0 size=576\ndiscover m1 pxe=0 prl=224,225,43\n"
        f"discover m1 pxe=0 prl=43,224\ndiscover m1 pxe=0 prl=224,225,43,66,67\ndora m1 pxe=0 size=1500 {ROM}\n",
    ),
    DhcpCase(
        "pxe and no room",
        POOL
        + f"dhcp-no-override\ndhcp-boot=pxelinux.0,bootsrv,10.77.1.9\ndhcp-option=224,{L200}\ndhcp-option=225,{L60}\n"
        + BIOS,
        "discover m1 pxe=0\ndiscover m1 pxe=0 size=600\ndiscover m1 pxe=0 prl=224,225,43\n",
    ),
    DhcpCase("pxe menu too large", POOL + TOO_LARGE, MENU_PACKETS),
    DhcpCase("pxe menu too large, proxy", PROXY + TOO_LARGE, MENU_PACKETS),
    DhcpCase(
        "pxe menu too large, with prompt",
        POOL + "pxe-prompt=yes\ndhcp-option=vendor:PXEClient,1,1.2.3.4\n" + TOO_LARGE,
        MENU_PACKETS + archs(7),
    ),
    *(
        DhcpCase(
            f"pxe long text {length}",
            POOL + f"pxe-service=x86PC,{'x' * length},a\npxe-service=x86-64_EFI,{'y' * length}\n",
            f"{archs(0, 7, words='size=1500')}discover m1 pxe=0\nrequest m1 {AT} pxe=0 item=32768.0\n",
        )
        for length in (200, 231, 238, 249, 250, 251)
    ),
    DhcpCase(
        "pxe long prompt",
        POOL + f"pxe-prompt={L200},1\npxe-prompt={L100}\n" + BIOS,
        f"discover m1 pxe=0 size=1500\nrequest m1 {AT} pxe=0 item=32768.0 size=1500 {BINL}\n",
    ),
    DhcpCase(
        "pxe long boot file",
        POOL + f"pxe-service=x86PC,t,{L100}\npxe-service=x86PC,t,{L60}{L60}.img\npxe-service=x86PC,t,{L200}\n",
        f"discover m1 pxe=0\nrequest m1 {AT} pxe=0 item=32768.0\nrequest m1 {AT} pxe=0 item=32769.0\n"
        f"request m1 {AT} pxe=0 item=32770.0\n",
    ),
    # -- beside another server -----------------------------------------------------------
    DhcpCase("pxe proxy", PROXY + SERVICES, PROXY_PACKETS),
    DhcpCase("pxe proxy without log-dhcp", QUIET + "dhcp-range=10.77.1.0,proxy\n" + SERVICES, PROXY_SHORT),
    DhcpCase(
        "pxe proxy with boot file and prompt",
        BASE
        + "dhcp-range=10.77.1.0,proxy,255.255.255.0\ndhcp-boot=boot.0,bootsrv,10.77.1.9\npxe-prompt=Hi,5\n"
        + SERVICES,
        PROXY_SHORT,
    ),
    DhcpCase("pxe proxy with a prompt alone", PROXY + "pxe-prompt=Hi,5\n", PROXY_SHORT),
    DhcpCase("pxe proxy with a boot file alone", PROXY + "dhcp-boot=boot.0,bootsrv,10.77.1.9\n", PROXY_SHORT),
    DhcpCase("pxe proxy with nothing", PROXY, f"sockets\n{both(0)}{both(7)}discover m2\n"),
    DhcpCase(
        "pxe proxy authoritative",
        PROXY + "dhcp-authoritative\ndhcp-rapid-commit\nbootp-dynamic\ndhcp-broadcast\n" + SERVICES,
        PROXY_SHORT,
    ),
    *(
        DhcpCase(
            f"pxe proxy boot server {number}",
            PROXY + WITH_NAMES + f"dhcp-boot={boot}\n" + BIOS,
            both(0) + both(7),
            files=NAMES,
        )
        for number, boot in enumerate(
            ("b.0,sn,srv.test", "b.0,sn,nosuch.test", ",sn,10.77.1.9", "b.0", "b.0,sn", "b.0,,10.77.1.9")
        )
    ),
    DhcpCase(
        "pxe proxy bound to an interface",
        PROXY + "pxe-prompt=Hi\nbind-interfaces\ninterface=lan0\n",
        f"sockets\n{both(0)}{both(7)}discover m1 pxe=0 on=up1\n",
    ),
    DhcpCase(
        "pxe proxy bound to what comes",
        PROXY + "pxe-prompt=Hi\nbind-dynamic\ninterface=lan0\ninterface=wan0\n",
        "sockets ! ~sockets : ours binds each address by itself, too\n"
        f"{both(0)}discover m1 pxe=0 on=up1\nrequest m1 ci=10.77.2.77 pxe=0 {BINL} on=up1\n",
    ),
    DhcpCase(
        "pxe proxy on two links",
        PROXY + "dhcp-range=set:two,10.77.2.0,proxy\nexcept-interface=wan0\npxe-prompt=Hi\n",
        f"sockets\n{both(0)}discover m1 pxe=0 on=up1\nrequest m1 ci=10.77.2.77 pxe=0 {BINL} on=up1\n",
    ),
    DhcpCase(
        "pxe proxy, other ports",
        PROXY + "dhcp-alternate-port\n" + SERVICES,
        f"sockets\n{both(0)}{both(7)}discover m1 pxe=0 dport=1067 sport=1068\ndiscover m1 pxe=7 dport=1067 sport=1068\n"
        f"request m1 {AT} pxe=0 item=32768.0 dport=1067 sport=1068\n"
        "discover m1 pxe=0 gi=10.77.1.2 dport=1067 sport=1067\n",
    ),
    DhcpCase(
        "pxe proxy tags",
        BASE + "dhcp-range=set:px,10.77.1.0,proxy\ndhcp-boot=tag:px,px.0\npxe-service=tag:px,x86PC,A,a\n"
        "pxe-service=tag:!px,x86PC,B,b\npxe-prompt=tag:!px,No\npxe-prompt=tag:px,Yes\n",
        both(0) + both(7) + f"request m1 {AT} pxe=0 item=32769.0 {BINL}\n",
    ),
    DhcpCase("pxe proxy after a pool", POOL + "dhcp-range=10.77.1.0,proxy\ndhcp-boot=a.0\n" + SERVICES, MIXED),
    DhcpCase("pxe proxy before a pool", PROXY + RANGE + "dhcp-boot=a.0\n" + SERVICES, MIXED_ROMS),
    DhcpCase(
        "pxe proxy and a pool with tags",
        BASE + "dhcp-range=tag:lease,10.77.1.50,10.77.1.60\ndhcp-range=10.77.1.0,proxy\n"
        "dhcp-mac=set:lease,02:00:00:00:aa:02\n" + BIOS,
        re.sub(r"(?m)^(bootp|release) .*$", r"\g<0> ! ~log : the words for a client that no range takes", MIXED),
    ),
    DhcpCase(
        "pxe proxy with tags and a pool",
        BASE + "dhcp-range=tag:px,10.77.1.0,proxy\ndhcp-range=10.77.1.50,10.77.1.60\n"
        "dhcp-mac=set:px,02:00:00:00:aa:01\n" + BIOS,
        MIXED_ROMS,
    ),
    DhcpCase(
        "pxe proxy on one link, a pool on the other",
        POOL + "dhcp-range=10.77.2.0,proxy\n" + BIOS,
        MIXED + "discover m3 pxe=0 on=up1\ndora m2 on=up1\ndora m2 pxe=0 on=up1\ndora m3\n"
        f"request m3 ci=10.77.2.3 pxe=0 {BINL} on=up1\ndiscover m2 gi=10.77.5.1 pxe=0\n",
    ),
    DhcpCase("pxe proxy before static leases", PROXY + "dhcp-range=10.77.1.0,static\n" + BIOS, MIXED_ROMS),
    DhcpCase(
        "pxe proxy after static leases",
        BASE
        + "dhcp-range=10.77.1.0,static\ndhcp-range=10.77.1.0,proxy\ndhcp-host=02:00:00:00:aa:03,10.77.1.55\n"
        + BIOS,
        MIXED,
    ),
    DhcpCase(
        "pxe proxy, chosen clients",
        PROXY + BIOS + "pxe-service=tag:known,x86PC,K,k\npxe-service=tag:ht,x86PC,H,h\ndhcp-ignore=tag:bad\n"
        "dhcp-mac=set:bad,02:00:00:00:aa:03\ndhcp-host=02:00:00:00:aa:02,set:ht,two\ndhcp-host=02:00:00:00:aa:05,10.77.1.44\n"
        "dhcp-host=id:09:09,set:ht\ndhcp-name-match=set:ht,match\n",
        f"""
discover m1 pxe=0
discover m2 pxe=0
discover m3 pxe=0
request m3 {AT} pxe=0 {BINL}
request m3 {AT} pxe=0 {BINL} item=32768.0
discover m5 pxe=0
discover m2 name=two
discover m7 pxe=0 name=two
discover m8 pxe=0 clid=0909
discover m8 pxe=0 name=match
request m8 ci=10.77.1.78 pxe=0 name=match {BINL}
discover m3
""",
    ),
    DhcpCase(
        "pxe proxy, known clients only",
        PROXY + BIOS + "dhcp-ignore=tag:!known\ndhcp-host=02:00:00:00:aa:02,set:ht\n",
        f"discover m1 pxe=0\ndiscover m2 pxe=0\nrequest m1 {AT} pxe=0 {BINL}\nrequest m2 {AT} pxe=0 {BINL}\n",
    ),
    DhcpCase(
        "pxe proxy ignores without log-dhcp",
        QUIET + "dhcp-range=10.77.1.0,proxy\n" + BIOS + "dhcp-ignore=tag:!known\n",
        f"discover m1 pxe=0\nrequest m1 {AT} pxe=0 {BINL}\nrequest m1 {AT} pxe=0 {BINL} item=32768.0\n",
    ),
    DhcpCase(
        "pxe proxy with delay",
        PROXY + BIOS + "dhcp-reply-delay=tag:slow,1\ndhcp-mac=set:slow,02:00:00:00:aa:06\n",
        f"discover m6 pxe=0\nrequest m6 {AT} pxe=0 {BINL}\nrequest m6 {AT} pxe=0 {BINL} item=32768.0\n"
        "discover m1 pxe=0\n",
    ),
    DhcpCase(
        "pxe proxy and options",
        PROXY + "pxe-service=x86PC,A,a\npxe-service=x86-64_EFI,E,e.efi\n" + VENDOR_OPTIONS,
        OPTION_PACKETS,
    ),
    DhcpCase("pxe proxy and options, no items", PROXY + "pxe-prompt=p,1\n" + VENDOR_OPTIONS, OPTION_PACKETS),
    DhcpCase(
        "pxe proxy behind a relay",
        BASE + "dhcp-range=10.77.5.0,proxy,255.255.255.0\n" + BIOS + "pxe-service=x86-64_EFI,A,a\n",
        f"""
discover m1 pxe=0 gi=10.77.5.1
discover m1 pxe=7 gi=10.77.5.1
discover m1 pxe=0 gi=10.77.5.1 over=10.77.5.1 circuit=aa
discover m1 pxe=0 gi=10.77.1.2 link=10.77.5.0
request m1 ci=10.77.5.77 pxe=0 {BINL} gi=10.77.5.1
request m1 ci=10.77.5.77 pxe=0 item=32768.0 {BINL}
request m1 ci=10.77.5.77 pxe=0 item=32768.0 gi=10.77.5.1
request m1 ci=10.77.5.77 pxe=7 {BINL}
discover m1 pxe=0
""",
    ),
    DhcpCase(
        "pxe proxy of a whole class",
        BASE + "dhcp-range=10.77.5.0,proxy\n" + BIOS,
        f"discover m1 pxe=0\ndiscover m1 pxe=0 gi=10.77.5.1\n"
        "discover m1 pxe=0 on=up1 ! ANY : a guessed mask is for networks behind relays, not for this link\n"
        f"request m1 {AT} pxe=0 {BINL}\n",
    ),
    DhcpCase(
        "pxe proxy on a subnet with a mask of its own",
        BASE + "dhcp-range=10.77.1.128,proxy,255.255.255.128\n" + BIOS,
        f"discover m1 pxe=0\nrequest m1 {AT} pxe=0 {BINL}\nrequest m1 ci=10.77.1.200 pxe=0 {BINL}\n",
    ),
    DhcpCase(
        "pxe proxy, two addresses on a link",
        BASE + "dhcp-range=10.77.3.0,proxy\ndhcp-range=10.77.1.0,proxy\n" + SERVICES,
        both(0) + both(7) + f"request m1 ci=10.77.3.77 pxe=0 {BINL}\nrequest m1 ci=10.77.3.77 pxe=7 {BINL}\n"
        f"request m1 ci=10.77.3.77 pxe=0 item=32768.0 {BINL}\n",
        ip=("s:addr add 10.77.3.1/24 dev lan0",),
    ),
    # -- vendors, architectures, iPXE and HTTP ------------------------------------------------
    DhcpCase(
        "pxe vendor HTTPClient",
        POOL
        + "dhcp-pxe-vendor=PXEClient,HTTPClient\npxe-service=16,H,http://10.77.1.1/x.efi\ndhcp-boot=b.0\n"
        + SERVICES,
        HTTP_PACKETS + archs(0, 7) + f"request m1 {AT} {HTTP} {BINL} item=32768.0\nrequest m1 {AT} {HTTP} {BINL}\n",
    ),
    DhcpCase(
        "pxe vendor HTTPClient of a proxy",
        PROXY + "dhcp-pxe-vendor=PXEClient,HTTPClient\npxe-service=16,H,http://10.77.1.1/x.efi\ndhcp-boot=b.0\n" + BIOS,
        HTTP_PACKETS + archs(0, 7) + f"request m1 {AT} {HTTP} {BINL} item=32768.0\nrequest m1 {AT} {HTTP} {BINL}\n",
    ),
    DhcpCase(
        "pxe another vendor",
        POOL + "dhcp-pxe-vendor=HW-Client\n" + BIOS,
        f"""
discover m1 pxe=0
discover m1 vendor=HW-Client:x o93=0000
discover m1 vendor=HW-Client o93=0000 o97=00
discover m1 vendor=HW-Clien o93=0000
discover m1 vendor=xHW-Client o93=0000
discover m1 vendor=hw-client o93=0000
request m1 {AT} pxe=0 item=32768.0 {BINL}
request m1 {AT} vendor=HW-Client item=32768.0 {BINL}
""",
    ),
    DhcpCase(
        "pxe vendors that begin alike",
        POOL + "dhcp-pxe-vendor=HW,HW-Client,H\ndhcp-pxe-vendor=PXEClient\ndhcp-pxe-vendor=HW-Cli\n" + BIOS,
        f"discover m1 pxe=0\ndiscover m1 vendor=HW-Client:x o93=0000\ndiscover m1 vendor=HW o93=0000\n"
        f"discover m1 vendor=Hx o93=0000\nrequest m1 {AT} vendor=HW-Client:x item=32768.0\n",
    ),
    DhcpCase(
        "http boot",
        POOL + "dhcp-vendorclass=set:http,HTTPClient\ndhcp-boot=tag:http,http://10.77.1.1/boot.efi\n"
        "dhcp-option-force=tag:http,60,HTTPClient\ndhcp-match=set:a16,option:client-arch,16\n",
        HTTP_PACKETS,
    ),
    DhcpCase(
        "http boot beside items",
        POOL + "dhcp-vendorclass=set:http,HTTPClient\ndhcp-boot=tag:http,http://10.77.1.1/boot.efi\n"
        "dhcp-option-force=tag:http,60,HTTPClient\n" + SERVICES,
        HTTP_PACKETS + f"discover m3 pxe=7 {ROM}{FILE_AT_ONCE}\n",
    ),
    DhcpCase(
        "http boot, not forced",
        POOL + "dhcp-match=set:http,60,HTTPClient\ndhcp-boot=tag:http,http://10.77.1.1/boot.efi\n"
        "dhcp-option=tag:http,60,HTTPClient\n",
        HTTP_PACKETS,
    ),
    DhcpCase(
        "http boot beside a proxy",
        PROXY + "dhcp-vendorclass=set:http,HTTPClient\ndhcp-boot=tag:http,http://10.77.1.1/boot.efi\n"
        "dhcp-option-force=tag:http,60,HTTPClient\n" + SERVICES,
        HTTP_PACKETS,
    ),
    DhcpCase(
        "boot files by architecture",
        POOL + ARCH_TAGS + "dhcp-match=set:any,option:client-arch\ndhcp-boot=tag:any,any.img\ndhcp-boot=none.img\n",
        archs(0, 6, 7, 9, 10, 11, 16, 2)
        + "discover m1 o93=00070009\ndiscover m1 o93=00090007\ndiscover m1 o93=07\ndora m2\n",
    ),
    DhcpCase("boot files by architecture beside items", POOL + ARCH_TAGS + SERVICES, archs(0, 6, 7, 9, 16)),
    DhcpCase(
        "boot files by architecture of a proxy", PROXY + ARCH_TAGS + SERVICES, "".join(map(both, (0, 6, 7, 9, 16)))
    ),
    DhcpCase(
        "ipxe",
        POOL + IPXE_CONF,
        f"discover m1 pxe=0 {ROM}\ndora m1 pxe=0 {IPXE} {ROM}\ndiscover m1 pxe=7\ndora m1 pxe=7 {IPXE}\n"
        f"discover m1 pxe=7 {IPXE} prl=1,3,175,209,66,67,43\ndiscover m1 pxe=0 {IPXE} prl=175,43\n",
    ),
    DhcpCase(
        "ipxe of a proxy", PROXY + IPXE_CONF, "".join(both(arch, words) for arch in (0, 7, 9) for words in ("", IPXE))
    ),
    DhcpCase(
        "ipxe by its user class, a prompt alone",
        PROXY + "dhcp-userclass=set:ipxe,iPXE\ndhcp-boot=tag:!ipxe,undionly.kpxe\ndhcp-boot=tag:ipxe,menu.ipxe\n"
        "pxe-prompt=x\n",
        "".join(both(arch, words) for arch in (0, 7) for words in ("", IPXE)),
    ),
]
CASES = [answered(case) for case in _CASES]
