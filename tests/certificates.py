"""Certificates of an authority that is not Corral's, as whoever runs servers already has one."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

DAY = timedelta(days=1)


class Files(Struct, frozen=True):
    """Where a server's certificate and its key lie."""

    certificate: Path
    key: Path


class Issuer:
    """An authority; `ca` is its certificate's file."""

    def __init__(self, folder: Path, name: str = "Somebody's authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        draft = self._draft(self._name, self._key, days=365)
        draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(_pem(draft.sign(self._key, hashes.SHA256())))

    def issue(self, names: Sequence[str], *, expired: bool = False) -> Files:
        """A server's certificate for host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        draft = self._draft(subject, key, days=-1 if expired else 30)
        draft = draft.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        draft = draft.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
        )
        mark = f"{names[0]}{'-expired' if expired else ''}"
        files = Files(self._folder / f"{mark}.pem", self._folder / f"{mark}.key")
        files.certificate.write_bytes(_pem(draft.sign(self._key, hashes.SHA256())))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        files.key.chmod(0o600)
        return files

    def _draft(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
