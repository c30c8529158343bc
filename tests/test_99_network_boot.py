"""Machines without a disk, emulated by qemu, that start from the daemon's network.

What a machine is given to run is made here, octet by octet, and says a sentence on the serial line.

daemon lan0 10.66.0.1/24, a bridge: the machine's cable, other eth0 10.66.0.2/24
"""

from __future__ import annotations

import contextlib
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import pytest

from harness import OURS_KIND, need, need_tool, wait_until
from netkit import Namespaces

pytestmark = pytest.mark.slow
BOOT_SECONDS = 90
F8, DOWN = "\33[19~", "\33[B"
ROM = pathlib.Path("/usr/lib/ipxe/qemu/pxe-virtio.rom")
FIRMWARE = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VARIABLES = pathlib.Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
IPXE_EFI = pathlib.Path("/usr/lib/ipxe/snponly.efi")


# -- what the machines run -----------------------------------------------------------

# 16 bits, loaded at 0:7C00 and entered there.
LOADER_CODE = bytes.fromhex(
    "fc"  # cld
    "0e 1f"  # push cs; pop ds
    "be 0000"  # mov si, text
    "ba f803"  # mov dx, 0x3f8            the serial line
    "ac"  # next: lodsb
    "84c0 7403"  # test al, al; jz stop
    "ee eb f8"  # out dx, al; jmp next
    "f4 eb fd"  # stop: hlt; jmp stop
)


def network_loader(text: str, gap: int = 0) -> bytes:
    """A BIOS network bootstrap program; its text lies behind a gap, so all of it must have come."""
    where = struct.pack("<H", 0x7C00 + len(LOADER_CODE) + gap)
    return LOADER_CODE[:4] + where + LOADER_CODE[6:] + bytes(gap) + text.encode() + b"\n\0"


# 32 bits; says its text and the Adler-32 of its first module.  ebx points at what the loader tells.
KERNEL_CODE = bytes.fromhex(
    "fc"  # cld
    "be 00000000"  # mov esi, text
    "66ba f803"  # mov dx, 0x3f8
    "ac"  # next: lodsb
    "84c0 7403"  # test al, al; jz sum
    "ee eb f8"  # out dx, al; jmp next
    "8b7318"  # sum: mov esi, [ebx+24]   the list of modules
    "8b4e04 8b36"  # mov ecx, [esi+4]; mov esi, [esi]   end and start of the first
    "29f1"  # sub ecx, esi
    "31c0 31ff"  # xor eax, eax; xor edi, edi
    "89c3 43"  # mov ebx, eax; inc ebx
    "bd f1ff0000"  # mov ebp, 65521
    "e314"  # byte: jecxz done
    "ac 01c3"  # lodsb; add ebx, eax
    "39eb 7202 29eb"  # cmp ebx, ebp; jb over; sub ebx, ebp
    "01df"  # over: add edi, ebx
    "39ef 7202 29ef"  # cmp edi, ebp; jb on; sub edi, ebp
    "49 ebea"  # on: dec ecx; jmp byte
    "c1e710 09fb"  # done: shl edi, 16; or ebx, edi
    "b108"  # mov cl, 8
    "c1c304"  # digit: rol ebx, 4
    "88d8 240f"  # mov al, bl; and al, 15
    "0490 27 1440 27"  # add al, 0x90; daa; adc al, 0x40; daa    0-15 becomes 0-9, A-F
    "ee e2f0"  # out dx, al; loop digit
    "b00a ee"  # mov al, 10; out dx, al
    "f4 ebfd"  # stop: hlt; jmp stop
)


def kernel(text: str) -> bytes:
    """A multiboot kernel at 1 MB."""
    base, magic, flags = 0x100000, 0x1BADB002, 0x10000
    entry = base + 32
    code = KERNEL_CODE[:2] + struct.pack("<I", entry + len(KERNEL_CODE)) + KERNEL_CODE[6:] + text.encode() + b"\0"
    end = entry + len(code)
    return struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, base, base, end, end, entry) + code


# 64 bits; rdx points at the firmware's table.
EFI_CODE = bytes.fromhex(
    "4883ec28"  # sub rsp, 40
    "488b4a40"  # mov rcx, [rdx+64]      ConOut
    "488d15 00000000"  # lea rdx, [rip+text]
    "ff5108"  # call [rcx+8]             OutputString
    "f4 ebfd"  # stop: hlt; jmp stop
)


def efi_application(text: str, gap: int = 0) -> bytes:
    """A PE32+ image with one section; its text lies behind a gap, so all of it must have come."""
    code = EFI_CODE[:11] + struct.pack("<i", len(EFI_CODE) - 15 + gap) + EFI_CODE[15:]
    code += bytes(gap) + (text + "\r\n\0").encode("utf-16-le")
    code += bytes(-len(code) % 512)
    pages = -(-len(code) // 4096) * 4096
    head = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22E)  # x86-64, 1 section
    head += struct.pack("<HBBIIIII", 0x20B, 0, 0, len(code), 0, 0, 4096, 4096)  # entered at 4096
    head += struct.pack("<QII6HIIIIHH", 0, 4096, 512, *(6 * [0]), 0, 4096 + pages, 512, 0, 10, 0)  # 10: application
    head += struct.pack("<4QII", 0, 0, 0, 0, 0, 16) + bytes(16 * 8)
    head += struct.pack("<8sIIIIIIHHI", b".text", len(code), 4096, len(code), 512, 0, 0, 0, 0, 0xE0000020)
    return head.ljust(512, b"\0") + code


BIG = random.Random(99).randbytes(20 << 20)
SUM = f"{zlib.adler32(BIG):08X}"
FILES = {
    "boot.0": network_loader("The loader runs.", 30000),
    "rescue.0": network_loader("The rescue loader runs."),
    "boot.ipxe": b"#!ipxe\necho The script runs.\nkernel kernel\ninitrd big\nboot\n",
    "loader.ipxe": b"#!ipxe\necho The script runs.\nchain boot.0\n",
    "efi.ipxe": b"#!ipxe\nchain boot.efi\n",
    "kernel": kernel("The kernel runs, its module has the sum "),
    "big": BIG,
    "boot.efi": efi_application("The EFI application runs.", 3 << 20),
}


# -- the network and the machine -----------------------------------------------------

# iPXE waits 16 seconds for a router of IPv6 if there is none.  This one says that it is none.
ADVERTISER = """
import socket, time
number = socket.if_nametoindex("eth0")
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    while True:
        try:
            sock.sendto(bytes([134, 0, 0, 0, 64]) + bytes(11), ("ff02::1", 0, 0, number))
        except OSError:
            pass
        time.sleep(0.3)
"""
UDHCPD = """\
interface eth0
start 10.66.0.100
end 10.66.0.110
lease_file $DIR/other.leases
pidfile $DIR/other.pid
option subnet 255.255.255.0
option router 10.66.0.2
"""


class BootLan(Namespaces):
    """The daemon's namespace with a cable for the machine, and one for other servers."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory, "s", "o")
        self.server, self.other = self.names
        self.processes: list[subprocess.Popen[bytes]] = []

    def connect(self) -> None:
        for text in (
            "link add lan0 type bridge",
            "addr add 10.66.0.1/24 dev lan0",
            "link set lan0 up",
            "tuntap add machine mode tap",
            "link set machine master lan0 up",
        ):
            self.ip(self.server, text)
        self.link("other", self.server, "eth0", self.other)
        self.ip(self.server, "link set other master lan0")
        self.ip(self.other, "addr add 10.66.0.2/24 dev eth0")

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        super().close()

    def spawn(self, name: str, output: str, *words: str) -> IO[bytes]:
        """Run a program in a namespace until the end of the test, with its output in a file; give its input."""
        with (self.directory / output).open("wb") as sink:
            process = subprocess.Popen(
                ["ip", "netns", "exec", name, *words],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        assert process.stdin is not None
        return process.stdin

    def switch_on(self, words: str) -> IO[bytes]:
        """Start the machine; what is written to it are keys."""
        return self.spawn(self.server, "serial", *(MACHINE + words).replace("$DIR", str(self.directory)).split())

    def wait(self, sentence: str) -> None:
        """Wait until the machine has said a sentence."""
        wait_until(lambda: sentence in self.heard(), BOOT_SECONDS, sentence)

    def heard(self) -> str:
        """What the machine has said, without the orders that move a cursor."""
        text = (self.directory / "serial").read_text("latin-1")
        return re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]|\x08|\r", "", text)


MACHINE = """qemu-system-x86_64 -accel tcg -nodefaults -no-user-config -no-reboot -display none -serial stdio
-netdev tap,id=lan,ifname=machine,script=no,downscript=no
-device virtio-rng-pci -device virtio-net-pci,netdev=lan,mac=02:00:00:00:66:01"""
# Without graphics the BIOS copies its screen to the serial line, and iPXE's with it.
BIOS = " -m 64 -machine pc,graphics=off"
# romfile= leaves the network to the firmware, whose own driver it is then, not iPXE's.
UEFI = f""",romfile=,bootindex=1 -m 256 -machine q35 -drive if=pflash,format=raw,readonly=on,file={FIRMWARE}
-drive if=pflash,format=raw,file=$DIR/variables"""
UEFI_HTTP = UEFI + "".join(f" -fw_cfg name=opt/org.tianocore/IPv{version}PXESupport,string=n" for version in (4, 6))


# -- the boots -----------------------------------------------------------------------


@dataclass(frozen=True)
class Boot:
    """A machine and a configuration, what it loads by TFTP and says, and the keys pressed when it says something.

    With a proxy another server gives the address.
    """

    machine: str
    conf: str
    loads: str
    says: list[str]
    keys: dict[str, str] = field(default_factory=dict)
    unlike_real: bool = False


RANGE = "dhcp-range=10.66.0.50,10.66.0.60\n"
PROXY = "dhcp-range=10.66.0.0,proxy\n"
IPXE = "dhcp-match=set:ipxe,175\n"
EFI64 = "dhcp-match=set:efi64,option:client-arch,7\n"
SERVICES = "pxe-service=x86PC,Boot,boot\npxe-service=X86-64_EFI,Boot,boot.efi\n"
MENU = """pxe-service=x86PC,Everyday,boot
pxe-service=x86PC,To the rescue,rescue
pxe-service=X86-64_EFI,Everyday,boot.efi
pxe-service=X86-64_EFI,To the rescue,rescue.efi
pxe-prompt=What shall it be?,"""
EFI_RUNS = ["The EFI application runs."]
BOOTS = {
    "BIOS: a script, a kernel and 20 MB for iPXE": Boot(
        BIOS,
        RANGE + IPXE + "dhcp-boot=tag:!ipxe,undionly.kpxe\ndhcp-boot=tag:ipxe,boot.ipxe\n",
        "boot.ipxe kernel big",
        ["Filename: boot.ipxe", "The script runs.", f"The kernel runs, its module has the sum {SUM}"],
    ),
    # A service for others, none for iPXE, which has its boot file.
    "BIOS: proxy, a script for iPXE": Boot(
        BIOS,
        PROXY + "dhcp-userclass=set:ipxe,iPXE\ndhcp-boot=tag:ipxe,loader.ipxe,,10.66.0.1\n"
        "pxe-service=tag:!ipxe,x86PC,iPXE,undionly.kpxe\n",
        "loader.ipxe boot.0",
        ["Next server: 10.66.0.1", "The script runs.", "The loader runs."],
    ),
    "BIOS: proxy, one service": Boot(BIOS, PROXY + SERVICES, "boot.0", ["The loader runs."]),
    "BIOS: menu": Boot(
        BIOS,
        RANGE + MENU + "60\n",
        "rescue.0",
        ["What shall it be?", "Everyday", "To the rescue", "The rescue loader runs."],
        keys={"What shall it be?": F8, "To the rescue": DOWN + "\r"},
    ),
    "BIOS: menu, nobody there": Boot(BIOS, RANGE + MENU + "1\n", "boot.0", ["What shall it be?", "The loader runs."]),
    "UEFI: a boot file beside a service for BIOS": Boot(
        UEFI,
        RANGE + EFI64 + "dhcp-boot=tag:efi64,boot.efi\npxe-service=x86PC,Boot,boot\n",
        "boot.efi",
        EFI_RUNS,
    ),
    "UEFI: iPXE, then a script": Boot(
        UEFI,
        RANGE + EFI64 + IPXE + "dhcp-boot=tag:efi64,tag:!ipxe,snponly.efi\ndhcp-boot=tag:efi64,tag:ipxe,efi.ipxe\n",
        "snponly.efi efi.ipxe boot.efi",
        EFI_RUNS,
    ),
    # dnsmasq tells the firmware too little: it goes on asking.
    "UEFI: one service": Boot(UEFI, RANGE + SERVICES, "boot.efi", EFI_RUNS, unlike_real=True),
    "UEFI: proxy, one service": Boot(UEFI, PROXY + SERVICES, "boot.efi", EFI_RUNS),
    "UEFI: proxy, menu": Boot(UEFI, PROXY + MENU + "1\n", "boot.efi", EFI_RUNS),
    "UEFI: HTTP": Boot(
        UEFI_HTTP,
        RANGE + "dhcp-match=set:http,option:client-arch,16\n"
        "dhcp-option-force=tag:http,option:vendor-class,HTTPClient\n"
        "dhcp-boot=tag:http,http://10.66.0.2:8000/boot.efi\n",
        "",
        EFI_RUNS,
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What the servers serve."""
    need_tool("ip", "qemu-system-x86_64", "busybox")
    for path in (ROM, FIRMWARE, VARIABLES, IPXE_EFI):
        need(path.exists(), str(path))
    directory = tmp_path_factory.mktemp("files")
    shutil.copy(IPXE_EFI, directory)
    for name, data in FILES.items():
        (directory / name).write_bytes(data)
    return directory


@pytest.fixture
def lan(tmp_path: pathlib.Path) -> Iterator[BootLan]:
    net = BootLan(tmp_path)
    with contextlib.closing(net):
        net.setup()
        yield net


@pytest.mark.parametrize("boot", BOOTS.values(), ids=BOOTS)
def test_a_machine_starts_from_the_network(files: pathlib.Path, lan: BootLan, boot: Boot) -> None:
    if boot.unlike_real and OURS_KIND == "real":
        pytest.skip("dnsmasq behaves otherwise here")
    lan.spawn(lan.other, "advertiser", sys.executable, "-c", ADVERTISER)
    lan.spawn(lan.other, "http", sys.executable, "-m", "http.server", "-d", str(files))
    if PROXY in boot.conf:
        (lan.directory / "other.conf").write_text(UDHCPD.replace("$DIR", str(lan.directory)))
        lan.spawn(lan.other, "udhcpd", "busybox", "udhcpd", "-f", str(lan.directory / "other.conf"))
    shutil.copy(VARIABLES, lan.directory / "variables")
    daemon = lan.start(f"interface=lan0\nenable-tftp\ntftp-root={files}\nno-ping\nlog-dhcp\n" + boot.conf, port=0)
    address = r"10\.66\.0\.1\d\d" if PROXY in boot.conf else r"10\.66\.0\.[56]\d"

    def loaded() -> list[str]:
        return list(dict.fromkeys(re.findall(rf"sent \S+/(\S+) to {address}", daemon.log())))

    machine = lan.switch_on(boot.machine)
    try:
        for sentence in boot.says:
            lan.wait(sentence)
            machine.write(boot.keys.get(sentence, "").encode())
        # What runs does not always leave time for the acknowledgement of its own last block.
        loads = boot.loads.split()
        wait_until(lambda: loaded() in (loads, loads[:-1]), 15, f"{loads} in the log")
    except AssertionError as error:
        raise AssertionError(f"{error}; serial line:\n{lan.heard()}\nlog:\n{daemon.log()}") from None
