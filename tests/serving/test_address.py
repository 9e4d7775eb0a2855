"""Hostile links, what counts as public, and the operator's rules; no connection is made."""

import ipaddress
import random
import socket

import pytest

from lenslet.inference.errors import LinkFailed, LinkRefused
from lenslet.serving.links import address
from lenslet.serving.links.address import is_public, locate
from lenslet.serving.links.fetcher import fetch
from lenslet.serving.links.rules import Rules, read_rules

SCHEME = "only http://, https:// and s3:// links are fetched"
NOT_A_URL = "not a valid URL with a host"
CHARACTER = "a control character or a backslash"
CREDENTIALS = "user name or password"
ASCII = "spell it in ASCII"
SPELLING = "is a number, but no IP address in its usual form"
FULL_NAME = "must be a full name"
PORT = "ports other than 80 and 443"
NOT_PUBLIC = "not on the public internet"
S3_OFF = "LENSLET_S3_BUCKETS names no bucket"

# What the names in the table below resolve to, as somebody who owns a name may decide.
NAMES = {
    "public.example": ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"],
    "loopback.example": ["127.0.0.1"],
    "loopback6.example": ["::1"],
    "private.example": ["10.1.2.3"],
    "metadata.example": ["169.254.169.254"],
    "metadata6.example": ["fd00:ec2::254"],
    "metadata.google.internal": ["169.254.169.254"],
    "first-public.example": ["93.184.216.34", "192.168.0.10"],
    "last-public.example": ["::1", "93.184.216.34"],
    "mapped.example": ["::ffff:169.254.169.254"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "link-local.example": ["fe80::1%eth0"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "app.localhost": ["127.0.0.1"],
    "localhost.localdomain": ["127.0.0.1"],
}

HOSTILE = [
    # other schemes
    ("", SCHEME),
    ("photo.jpg", SCHEME),
    ("//public.example/photo.jpg", SCHEME),
    ("https:/public.example", SCHEME),
    ("https:public.example", SCHEME),
    ("https", SCHEME),
    ("\x00https://public.example/", SCHEME),
    ("ht\ntps://public.example/", SCHEME),
    ("view-source:https://public.example/", SCHEME),
    ("ftp://public.example/photo.jpg", SCHEME),
    ("gopher://127.0.0.1:6379/_FLUSHALL", SCHEME),
    ("dict://127.0.0.1:11211/stats", SCHEME),
    ("ldap://127.0.0.1/", SCHEME),
    ("file:///proc/self/environ", SCHEME),
    ("file://localhost/etc/passwd", SCHEME),
    ("jar:https://public.example!/x", SCHEME),
    ("data:image/png;base64,iVBORw0KGgo=", SCHEME),
    ("javascript://public.example/%0aalert(1)", SCHEME),
    ("ws://public.example/", SCHEME),
    ("unix:///var/run/docker.sock", SCHEME),
    ("http+unix://%2Fvar%2Frun%2Fdocker.sock/info", SCHEME),
    # no host, or none that is one
    ("https://", NOT_A_URL),
    ("https:///photo.jpg", NOT_A_URL),
    ("https://:443/photo.jpg", NOT_A_URL),
    ("https://?url", NOT_A_URL),
    ("https://#public.example", NOT_A_URL),
    ("https://[::1/photo.jpg", NOT_A_URL),
    ("https://::1/", NOT_A_URL),
    ("https://public.example:notaport/", NOT_A_URL),
    ("https://public.example:-443/", NOT_A_URL),
    ("https://public.example:443:80/", NOT_A_URL),
    ("https://public.example:000443/", NOT_A_URL),
    ("https://*.example.com/", NOT_A_URL),
    ("https://public.example /", NOT_A_URL),
    ("https://public.example,127.0.0.1/", NOT_A_URL),
    ("https://127%2e0%2e0%2e1/", NOT_A_URL),
    ("https://public.example%00.example.com/", NOT_A_URL),
    ("https://[fe80::1%25eth0]/", NOT_A_URL),
    ("https://[::1]public.example/", NOT_A_URL),
    ("https://localhost/", FULL_NAME),
    ("https://metadata/", FULL_NAME),
    ("https://public.example./", FULL_NAME),
    ("https://127.0.0.1./", FULL_NAME),
    ("https://.public.example/", FULL_NAME),
    ("https://public..example/", FULL_NAME),
    ("https://-public.example/", FULL_NAME),
    (f"https://{'a' * 64}.example/", FULL_NAME),
    (f"https://{'a.' * 125}example/", FULL_NAME),
    # what one program reads as another host than the next does
    ("https://public.example\\@127.0.0.1/", CHARACTER),
    ("https:\\\\127.0.0.1/", SCHEME),
    ("https://127.0.0.1\\.public.example/", CHARACTER),
    ("https://public.example/a\tb", CHARACTER),
    ("https://public.example/\r\nHost: 127.0.0.1", CHARACTER),
    ("https://public.example/\x0b", CHARACTER),
    ("https://public.exa\u00admple/", ASCII),
    ("https://public.example/\x00", CHARACTER),
    ("https://public.example/\x85", CHARACTER),
    ("https://user@public.example/", CREDENTIALS),
    ("https://user:password@public.example/", CREDENTIALS),
    ("https://public.example@127.0.0.1/", CREDENTIALS),
    ("https://public.example:443@169.254.169.254/latest/meta-data/", CREDENTIALS),
    ("https://@127.0.0.1/", CREDENTIALS),
    ("https://\uff11\uff12\uff17.0.0.1/", ASCII),  # wide digits, which some normalise to plain ones
    ("https://①②⑦.0.0.1/", ASCII),
    ("https://127。0。0。1/", ASCII),
    ("https://ⓛocalhost.example/", ASCII),
    ("https://\u212aublic.example/", ASCII),  # Kelvin, whose lower case is the letter k
    ("https://straße.example/", ASCII),  # strasse.example in IDNA 2003, another host in IDNA 2008
    ("https://βόλος.example/", ASCII),
    ("https://\u0131\u20ac.example/", ASCII),
    ("https://bücher\uff0eexample/", ASCII),  # wide full stop
    ("https://bücher.example@127.0.0.1/", CREDENTIALS),
    ("https://bücher.example\uff20127.0.0.1/", ASCII),  # wide @
    ("https://bücher.example:x/", NOT_A_URL),
    (f"https://{'ü' * 64}.example/", ASCII),
    ("https://public.example\u200b/", ASCII),
    ("https://public.example\u2044x/", ASCII),
    ("https://\ud800.example/", ASCII),
    ("https://public.example/\ud800", "half a character"),
    # numbers
    ("https://2130706433/", SPELLING),
    ("https://0x7f000001/", SPELLING),
    ("https://017700000001/", SPELLING),
    ("https://0177.0.0.1/", SPELLING),
    ("https://0x7f.0.0.1/", SPELLING),
    ("https://0X7F.1/", SPELLING),
    ("https://127.1/", SPELLING),
    ("https://127.0.1/", SPELLING),
    ("https://0/", SPELLING),
    ("https://127.0.0.01/", SPELLING),
    ("https://169.254.43518/", SPELLING),
    ("https://1.2.3.4.5/", SPELLING),
    ("https://256.256.256.256/", SPELLING),
    ("https://public.0x1/", SPELLING),
    ("https://[127.0.0.1]/", SPELLING),
    ("https://[1:2]/", SPELLING),
    ("https://[::ffff:1.2.3]/", SPELLING),
    # ports
    ("https://public.example:22/", PORT),
    ("http://public.example:8080/", PORT),
    ("https://public.example:0/", PORT),
    ("https://public.example:65536/", PORT),
    ("http://public.example:6379/", PORT),
    # addresses that are not public
    ("http://127.0.0.1/photo.jpg", NOT_PUBLIC),
    ("https://127.255.255.254/", NOT_PUBLIC),
    ("https://0.0.0.0/", NOT_PUBLIC),
    ("https://10.0.0.1/", NOT_PUBLIC),
    ("https://172.16.0.1/", NOT_PUBLIC),
    ("https://192.168.1.1/", NOT_PUBLIC),
    ("https://100.64.0.1/", NOT_PUBLIC),
    ("http://100.100.100.200/latest/meta-data/", NOT_PUBLIC),
    ("http://169.254.169.254/latest/meta-data/iam/security-credentials/", NOT_PUBLIC),
    ("http://169.254.170.2/v2/credentials", NOT_PUBLIC),
    ("http://192.0.0.192/", NOT_PUBLIC),
    ("http://168.63.129.16/", NOT_PUBLIC),
    ("https://224.0.0.1/", NOT_PUBLIC),
    ("https://255.255.255.255/", NOT_PUBLIC),
    ("https://240.0.0.1/", NOT_PUBLIC),
    ("https://[::1]/", NOT_PUBLIC),
    ("https://[::]/", NOT_PUBLIC),
    ("https://[0:0:0:0:0:0:0:1]/", NOT_PUBLIC),
    ("http://[fd00:ec2::254]/latest/meta-data/", NOT_PUBLIC),
    ("https://[fe80::1]/", NOT_PUBLIC),
    ("https://[ff02::1]/", NOT_PUBLIC),
    ("https://[::ffff:127.0.0.1]/", NOT_PUBLIC),
    ("https://[::ffff:a9fe:a9fe]/", NOT_PUBLIC),
    ("https://[::127.0.0.1]/", NOT_PUBLIC),
    ("https://[64:ff9b::7f00:1]/", NOT_PUBLIC),
    ("https://[64:ff9b::169.254.169.254]/", NOT_PUBLIC),
    ("https://[64:ff9b:1::7f00:1]/", NOT_PUBLIC),
    ("https://[2002:7f00:1::]/", NOT_PUBLIC),
    ("https://[2002:a9fe:a9fe::1]/", NOT_PUBLIC),
    ("https://[2001:0:4136:e378:8000:63bf:f5ff:fffe]/", NOT_PUBLIC),
    ("https://loopback.example/", NOT_PUBLIC),
    ("https://loopback6.example/", NOT_PUBLIC),
    ("https://private.example/", NOT_PUBLIC),
    ("http://metadata.example/", NOT_PUBLIC),
    ("http://metadata6.example/", NOT_PUBLIC),
    ("http://metadata.google.internal/computeMetadata/v1/", NOT_PUBLIC),
    ("https://first-public.example/", NOT_PUBLIC),
    ("https://last-public.example/", NOT_PUBLIC),
    ("https://mapped.example/", NOT_PUBLIC),
    ("https://nat64.example/", NOT_PUBLIC),
    ("https://link-local.example/", NOT_PUBLIC),
    ("https://127.0.0.1.nip.example/", NOT_PUBLIC),
    ("https://app.localhost/", NOT_PUBLIC),
    ("https://localhost.localdomain/", NOT_PUBLIC),
    ("https://LOOPBACK.example:443/", NOT_PUBLIC),
    # S3
    ("s3://", "must name a bucket and a key"),
    ("s3://bucket", "must name a bucket and a key"),
    ("s3://bucket/", "must name a bucket and a key"),
    ("s3:///key", "must name a bucket and a key"),
    ("s3://bucket/key", S3_OFF),
    ("s3://arn:aws:s3:eu-central-1:1:accesspoint/point/key", S3_OFF),
    # length
    (f"https://public.example/{'a' * 8170}", "longer than 8,192 characters"),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names resolve as in NAMES, addresses to themselves; no setting is set, and a connection is a failure."""

    def connect(connection: socket.socket, where: object) -> None:
        raise AssertionError(f"connected to {where}")

    monkeypatch.setattr(address, "resolve", lambda name: NAMES.get(name) or [name])
    monkeypatch.setattr(socket.socket, "connect", connect)
    for setting in ("LENSLET_LINK_HOSTS", "LENSLET_S3_BUCKETS", "LENSLET_CONTACT"):
        monkeypatch.delenv(setting, raising=False)


def test_the_table_is_long_and_without_repeats() -> None:
    assert len({link for link, _ in HOSTILE}) == len(HOSTILE) >= 60


@pytest.mark.parametrize(("link", "message"), HOSTILE)
def test_hostile_link_is_refused(link: str, message: str) -> None:
    with pytest.raises(LinkRefused, match=message):
        fetch(link)


@pytest.mark.parametrize(
    "link",
    [
        "http://public.example/",
        "https://public.example:80/a",
        " https://public.example/\u00a0\r\n",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/",
        "https://[64:ff9b::5db8:d822]/",  # 93.184.216.34 as networks with IPv6 alone reach it
    ],
)
def test_public_link_is_connected_to(link: str) -> None:
    with pytest.raises(AssertionError, match="connected to"):
        fetch(link)


@pytest.mark.parametrize(
    ("link", "scheme", "authority", "port", "target"),
    [
        ("https://public.example", "https", "public.example", 443, "/"),
        ("HTTPS://Public.EXAMPLE/A", "https", "public.example", 443, "/A"),
        ("http://public.example?a=b", "http", "public.example", 80, "/?a=b"),
        ("https://public.example:/#part?x", "https", "public.example", 443, "/"),
        ("https://public.example:80/", "https", "public.example:80", 80, "/"),
        ("https://xn--bcher-kva.example/", "https", "xn--bcher-kva.example", 443, "/"),
        ("https://bücher.example/", "https", "xn--bcher-kva.example", 443, "/"),
        ("https://BÜCHER.Example:80/ü", "https", "xn--bcher-kva.example:80", 80, "/%C3%BC"),
        ("https://日本語.example/", "https", "xn--wgv71a119e.example", 443, "/"),
        ("https://a_b.public.example/", "https", "a_b.public.example", 443, "/"),
        ("https://public.example/my photo.jpg", "https", "public.example", 443, "/my%20photo.jpg"),
        ("https://public.example/ä?b=%20{", "https", "public.example", 443, "/%C3%A4?b=%20%7B"),
        ("https://public.example/a@b:c?d=https://e/", "https", "public.example", 443, "/a@b:c?d=https://e/"),
        ("https://[2606:2800:0::1]/", "https", "[2606:2800::1]", 443, "/"),
    ],
)
def test_link_is_parsed(link: str, scheme: str, authority: str, port: int, target: str) -> None:
    place = locate(link, Rules())
    assert (place.scheme, place.authority, place.port, place.target) == (scheme, authority, port, target)


def test_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(address, "resolve", resolve)
    with pytest.raises(LinkFailed, match="could not be reached"):
        fetch("https://public.example/")


def test_resolve_gives_every_address_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert address.resolve("127.0.0.1") == ["127.0.0.1"]
    assert set(address.resolve("localhost")) <= {"127.0.0.1", "::1"}


# --- addresses


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "93.184.216.34", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255",
     "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "192.167.255.255",
     "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15",
     "2606:4700:4700::1111", "2001:200::1", "2a00:1450::1", "2003::1", "64:ff9b::101:101"],
)  # fmt: skip
def test_address_is_public(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0", "0.255.255.255", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.255.255.255",
     "168.63.129.16", "169.254.0.0", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.255", "192.0.2.1",
     "192.88.99.1", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.0",
     "239.255.255.255", "240.0.0.0", "255.255.255.255",
     "::", "::1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "100::1", "1fff::1",
     "2001::1", "2001:1ff:ffff::", "2001:db8::1", "2002:808:808::1", "3ffe::1", "3fff::1", "4000::1", "5f00::1",
     "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff0e::1"],
)  # fmt: skip
def test_address_is_not_public(text: str) -> None:
    assert not is_public(text)


def test_what_python_does_not_call_global_is_never_public() -> None:
    draw = random.Random(20260101)
    numbers = [draw.getrandbits(32) for _ in range(5000)]
    addresses = [ipaddress.IPv4Address(number) for number in numbers]
    # Spread over the special blocks of IPv6, which are a hair's breadth of all addresses.
    heads = [0x2001 << 16, 0x20010DB8, 0x2002 << 16, 0x3FFF << 16, 0xFC00 << 16, 0xFE80 << 16, 0x100 << 16, 0]
    addresses += [
        ipaddress.IPv6Address(((head + draw.getrandbits(16)) << 96) + draw.getrandbits(96))
        for head in heads
        for _ in range(200)
    ]
    not_global = [each for each in addresses if not each.is_global and not each.is_multicast]
    assert len(not_global) > 500
    assert [each for each in not_global if is_public(str(each))] == []


# --- the operator's rules


@pytest.mark.parametrize(
    ("setting", "link", "allowed"),
    [
        (" ", "https://public.example/", True),
        ("public.example", "https://public.example/", True),
        ("Public.Example", "https://PUBLIC.example/", True),
        ("public.example", "http://public.example/", True),
        ("a.example, public.example", "https://public.example/", True),
        ("public.example", "https://other.example/", False),
        ("public.example", "https://www.public.example/", False),
        ("public.example", "https://public.example.evil.example/", False),
        ("public.example", "https://public.example:8443/", False),
        ("public.example:8443", "https://public.example:8443/", True),
        ("public.example:8443", "https://public.example/", False),
        ("public.example:8443,public.example", "https://public.example/", True),
        ("*.example", "https://public.example/", True),
        ("*.public.example", "https://a.b.public.example/", True),
        ("*.public.example", "https://public.example/", False),
        ("*.public.example", "https://evilpublic.example/", False),
        ("*.public.example:8443", "https://a.public.example:8443/", True),
        ("[2606:4700::1111]", "https://[2606:4700:0::1111]/", True),
        ("[2606:4700::1111]:8443", "https://[2606:4700::1111]:8443/", True),
        ("[2606:4700:0::1111]", "https://[2606:4700::1111]/", True),
        ("public.example:65535", "https://public.example:65535/", True),
        ("public.example:65535", "https://public.example:65536/", False),
    ],
)
def test_hosts_that_links_may_name(setting: str, link: str, allowed: bool) -> None:
    rules = read_rules({"LENSLET_LINK_HOSTS": setting})
    if allowed:
        locate(link, rules)
    else:
        with pytest.raises(LinkRefused, match="not among those that LENSLET_LINK_HOSTS allows"):
            locate(link, rules)


def test_an_allowed_host_must_be_public_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_LINK_HOSTS", "private.example,10.0.0.1")
    for link in ("https://private.example/", "https://10.0.0.1/"):
        with pytest.raises(LinkRefused, match=NOT_PUBLIC):
            fetch(link)


def test_only_listed_buckets_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_S3_BUCKETS", "photos, more-photos")
    for bucket in ("other", "photo", "photos2", "PHOTOS", "photos.", "arn:aws:s3:::photos", "photos@other"):
        with pytest.raises(LinkRefused, match="not among those that LENSLET_S3_BUCKETS names"):
            fetch(f"s3://{bucket}/photo.jpg")


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("LENSLET_LINK_HOSTS", "https://a.example", "LENSLET_LINK_HOSTS takes host names .* not 'https://a.example'"),
        ("LENSLET_LINK_HOSTS", "a.example,,b.example", "not ''"),
        ("LENSLET_LINK_HOSTS", ",", "not ''"),
        ("LENSLET_LINK_HOSTS", "*", r"not '\*'"),
        ("LENSLET_LINK_HOSTS", "a.*.example", r"not 'a\.\*\.example'"),
        ("LENSLET_LINK_HOSTS", "a.example:https", "not 'a.example:https'"),
        ("LENSLET_LINK_HOSTS", "a.example b.example", "not 'a.example b.example'"),
        ("LENSLET_LINK_HOSTS", "a.example,photos.example.", "not 'photos.example.': the link's host must be a full"),
        ("LENSLET_LINK_HOSTS", "a..b", "must be a full name"),
        ("LENSLET_LINK_HOSTS", "-x-.example", "must be a full name"),
        ("LENSLET_LINK_HOSTS", "localhost", "must be a full name"),
        ("LENSLET_LINK_HOSTS", "*.10.0.0.1", "is a number, but no IP address"),
        ("LENSLET_LINK_HOSTS", "[::g]", r"not '\[::g\]'"),
        ("LENSLET_LINK_HOSTS", "[:::]", "is a number, but no IP address"),
        ("LENSLET_LINK_HOSTS", "a.example:0", "ports go from 1 to 65535"),
        ("LENSLET_LINK_HOSTS", "a.example:65536", "ports go from 1 to 65535"),
        ("LENSLET_S3_BUCKETS", "s3://photos", "LENSLET_S3_BUCKETS takes bucket names, .* not 's3://photos'"),
        ("LENSLET_S3_BUCKETS", "*", r"not '\*'"),
        ("LENSLET_CONTACT", "me@example.com", "LENSLET_CONTACT takes an http"),
        ("LENSLET_CONTACT", "https://a.example)\r\nX: y", "LENSLET_CONTACT takes an http"),
    ],
)  # fmt: skip
def test_malformed_setting_is_an_error(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_rules({setting: value})
    monkeypatch.setenv(setting, value)
    with pytest.raises(ValueError, match=message):
        fetch("https://public.example/")
