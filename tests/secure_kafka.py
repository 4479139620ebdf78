"""A real Kafka that lets in only who it knows, over TLS, and lets them do only what it has been told that they may."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import Request
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from detectors import SETTINGS
from schemas.config import Config
from streams import acl, broker, configuration, topics
from streams.acl import Operation, Process, Right
from streams.local_kafka import HOST, Listener
from tests import planted

ADMIN: Final = "admin"
STRANGER: Final = "stranger"  # whom nobody has allowed anything
EXECUTOR: Final = "a-rehearsal"  # of the planted ones
PASSWORDS: Final = {user: f"{planted.MARK}password-of-{user}" for user in (ADMIN, STRANGER, *Process)}
CONFIG: Final = """
kafka:
  bootstrap_servers: "{address}"
  session_timeout: 6s
  checkpoint_every: 500ms
  security: {{protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: {user}, password: {password}, ca_file: {ca_file}}}
http: {{port: 0}}
mode: auto
"""
DAY: Final = timedelta(days=1)
CERTIFICATE_SIGN_ONLY: Final = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


class Authority(NamedTuple):
    """Who signs certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _certificate(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(CERTIFICATE_SIGN_ONLY, critical=True)
        )
        return cls(builder.sign(key, SHA256()), key)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def server(self) -> str:
        """A key and its certificate for this machine, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))]
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        signed = (
            _certificate("kafka", str(issuer), key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return private + signed.public_bytes(Encoding.PEM).decode()


def _certificate(name: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=_common_name(issuer),
        subject_name=_common_name(name),
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - DAY,
        not_valid_after=now + DAY,
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def listener(folder: Path, passwords: Mapping[str, str]) -> tuple[Listener, Path]:
    """SASL_SSL with these users, of whom ADMIN may do everything and nobody else anything; and the authority's file."""
    authority = Authority.new("tidegate tests")
    ca_file, keystore = folder / "ca.pem", folder / "broker.pem"
    ca_file.write_text(authority.pem)
    keystore.write_text(authority.server())
    keystore.chmod(0o600)
    users = tuple(f"--add-scram=SCRAM-SHA-512=[name={user},password={secret}]" for user, secret in passwords.items())
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    properties = {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            f'{login} username="{ADMIN}" password="{passwords[ADMIN]}";'
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca_file),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # the broker itself talks to its controller as nobody, on a port of its own
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }
    tls = ssl.create_default_context(cafile=str(ca_file))
    return Listener("SASL_SSL", properties, users, tls), ca_file


class Cluster(NamedTuple):
    """A Kafka that has started, and how its users come to it: a user for each process, named like it."""

    address: str
    ca_file: Path

    def file(self, user: str, password: str | None = None) -> Path:
        """The configuration of a user, with a secret wherever one can be."""
        folder = self.ca_file.parent / user
        folder.mkdir(exist_ok=True)
        given = {"user": user, "password": password or PASSWORDS[user]}
        own = CONFIG.format(address=self.address, ca_file=self.ca_file, **given)
        return planted.write(folder, own + planted.SECTIONS)

    def config(self, user: str) -> Config:
        """The same, read."""
        return configuration.load(self.file(user), SETTINGS, {})

    async def prepare(self) -> None:
        """Give each process what it needs, and let the one that may declare the topics."""
        for process in Process:
            await self.grant(process, acl.rights(self.config(process), process, EXECUTOR))
        await topics.declare(self.config(Process.TOPICS))

    async def grant(self, user: str, rights: Iterable[Right]) -> None:
        """Allow a user something."""
        admin = await broker.connect(self.config(ADMIN).kafka)
        try:
            answer = await admin._send_to_controller(_Grant(user, rights))
        finally:
            await admin.close()
        assert {error for error, _ in answer.creation_responses} == {0}


class _Grant(Request[CreateAclsRequest_v1]):
    """Many rights at once: aiokafka's own request has one."""

    API_KEY = CreateAclsRequest_v1.API_KEY

    def __init__(self, user: str, rights: Iterable[Right]) -> None:
        self._rows = [
            (_KINDS[right.kind], right.name, _LITERAL, f"User:{user}", "*", _OPERATIONS[right.operation], _ALLOW)
            for right in rights
        ]

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        made: Any = request_struct_class
        built: CreateAclsRequest_v1 = made(self._rows)
        return built


_KINDS: Final = {"topic": 2, "group": 3}
_OPERATIONS: Final = {Operation.READ: 3, Operation.WRITE: 4, Operation.CREATE: 5, Operation.ALTER: 7}
_LITERAL: Final = 3
_ALLOW: Final = 3
