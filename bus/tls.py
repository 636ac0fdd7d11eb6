"""The cluster's own certificate authority, and the certificate that its NATS server shows.

The authority's certificate holds nothing but its key: everything else in it is fixed. So whoever has the key
and the certificate's signature (a join token carries both, 96 bytes) makes the whole certificate from them,
and need not trust a first connection. The server's certificate names the addresses of the machine, lasts for
90 days and is renewed under the same authority: nobody has to learn a new trust.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from bus.errors import CredentialsError
from bus.layout import read_secret, write_secret
from bus.trust import CLUSTER_NAME

SIGNATURE_BYTES = 64
LIFETIME = timedelta(days=90)
RENEWAL = timedelta(days=30)
"""Before its end: long enough for a cluster that is switched off over the holidays."""

_SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CLUSTER_NAME)])
_BEGIN, _END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(hours=1)


class Root(Struct, frozen=True):
    """What makes up the authority's certificate: its key, and its signature of itself."""

    key: bytes
    signature: bytes

    def pem(self) -> str:
        """The certificate. Raises CredentialsError (E_TOKEN_FORMAT) where key and signature do not match."""
        try:
            # the signature ends the encoding: any other key may sign the draft
            draft = _draft(Ed25519PublicKey.from_public_bytes(self.key))
            unsigned = draft.sign(Ed25519PrivateKey.generate(), None).public_bytes(serialization.Encoding.DER)
            whole = x509.load_der_x509_certificate(unsigned[:-SIGNATURE_BYTES] + self.signature)
            whole.verify_directly_issued_by(whole)
        except (ValueError, InvalidSignature):
            raise CredentialsError("E_TOKEN_FORMAT", "the key of the cluster does not match") from None
        return whole.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """Signs server certificates; its key never leaves `path` (0600)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        certificate = _draft(key.public_key()).sign(key, None)
        self.root = Root(key.public_key().public_bytes_raw(), certificate.signature)

    @classmethod
    def create_or_load(cls, path: Path) -> Authority:
        """Made at the first call. Raises CredentialsError where others can read it, or it is none."""
        if not path.exists():
            write_secret(path, _private_pem(Ed25519PrivateKey.generate()))
        try:
            key = serialization.load_pem_private_key(read_secret(path).encode(), password=None)
        except ValueError as error:
            raise CredentialsError("E_CONFIG", f"{path} holds no key: {error}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise CredentialsError("E_CONFIG", f"{path} holds a key of another kind")
        return cls(key)

    def issue(self, names: Iterable[str], *, now: datetime) -> ServerCertificate:
        """A certificate for host names and addresses, with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corral bus")]))
            .issuer_name(_SUBJECT)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, None)
        )
        return ServerCertificate(
            certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(), key=_private_pem(key)
        )


class ServerCertificate(Struct, frozen=True, kw_only=True):
    """PEM texts; `key` is secret."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "ServerCertificate(…)"

    @property
    def expires_at(self) -> datetime:
        return x509.load_pem_x509_certificate(self.certificate.encode()).not_valid_after_utc

    @property
    def names(self) -> set[str]:
        """The host names and addresses it is for."""
        parsed = x509.load_pem_x509_certificate(self.certificate.encode())
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {str(name.value) for name in found}


def current_certificate(
    folder: Path, *, authority: Authority, names: Iterable[str], now: datetime
) -> ServerCertificate:
    """The certificate kept in `folder`; issued anew where there is none, it ends soon, or lacks a name.

    Raises CredentialsError where others can read the key.
    """
    certificate_path, key_path = folder / "server.pem", folder / "server.key"
    wanted = set(names)
    with contextlib.suppress(ValueError):
        if certificate_path.exists() and key_path.exists():
            kept = ServerCertificate(certificate=certificate_path.read_text(), key=read_secret(key_path))
            if kept.expires_at - now > RENEWAL and wanted <= kept.names:
                return kept
    issued = authority.issue(sorted(wanted), now=now)
    write_secret(key_path, issued.key)
    write_secret(certificate_path, issued.certificate)
    return issued


def names_of_machine(listen: str) -> list[str]:
    """By which other machines may call the one that listens on the address `listen`."""
    host = socket.gethostname()
    names = {"localhost", "127.0.0.1", "::1", host}
    if is_wildcard(listen):
        names |= addresses_of_machine()
    else:
        names.add(listen)
    return sorted(name for name in names if _is_usable(name))


def is_wildcard(address: str) -> bool:
    """Whether listening there means on every interface."""
    return address in ("0.0.0.0", "::")


def addresses_of_machine() -> set[str]:
    """Of all interfaces, as the kernel tells them; link-local ones are left out."""
    found = set()
    with contextlib.suppress(OSError):
        address = ""
        for line in Path("/proc/net/fib_trie").read_text().splitlines():
            words = line.split()
            if words[:1] == ["|--"]:
                address = words[1]
            elif words[:2] == ["/32", "host"] and words[2] == "LOCAL":
                found.add(address)
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            found.add(str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))))
    return {address for address in found if not ipaddress.ip_address(address).is_link_local}


def _draft(key: Ed25519PublicKey) -> x509.CertificateBuilder:
    """All of the authority's certificate but its signature: the same for the same key, for ever."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    return (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(key)
        .serial_number(1 + int.from_bytes(identifier.digest[:8]))
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(identifier, critical=False)
    )


def _private_pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _is_usable(name: str) -> bool:
    """A certificate takes ASCII names only; an odd host name must not keep the server from starting."""
    return bool(name) and name.isascii() and name.isprintable() and " " not in name
