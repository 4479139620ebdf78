"""How to reach the brokers, said once: as settings of aiokafka's clients and as Faust's credentials."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

import faust
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from schemas.config import Kafka, Security
from streams.errors import TidegateError
from streams.knock import knock

START_PATIENCE_S: Final = 60.0  # how long a broker may be away when a worker starts
BACKOFF_S: Final = 0.5  # the first pause; each one doubles, up to
BACKOFF_MAX_S: Final = 8.0

log = structlog.get_logger("tidegate.broker")

# aiokafka is annotated in part only
_Admin: Any = AIOKafkaAdminClient
_Consumer: Any = AIOKafkaConsumer
_Producer: Any = AIOKafkaProducer
_murmur2: Any = murmur2


class BrokerUnreachable(TidegateError):
    """No broker answered in time."""


class CertificateUnusable(TidegateError):
    """A file of the security settings holds no certificate or key that can be used."""


def servers(kafka: Kafka) -> list[str]:
    """The bootstrap servers, one by one."""
    return [server.strip() for server in kafka.bootstrap_servers.split(",") if server.strip()]


def password(security: Security) -> str | None:
    """The password itself, from where the configuration says it is."""
    if security.password is not None:
        return security.password.reveal()
    if security.password_file is not None:
        return Path(security.password_file).read_text().rstrip("\n")
    return None


def tls(security: Security) -> ssl.SSLContext | None:
    """A context that checks the broker's certificate, or None where the protocol has no TLS."""
    if "SSL" not in security.protocol:
        return None
    named = {name: getattr(security, name) for name in ("ca_file", "certificate_file", "key_file")}
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.certificate_file is not None:
            # with a password of its own a locked key is an error; without one OpenSSL would ask the terminal
            context.load_cert_chain(security.certificate_file, security.key_file, password="")
    except OSError as error:  # SSLError is one
        files = ", ".join(f"{name} {file!r}" for name, file in named.items() if file is not None)
        raise CertificateUnusable(
            f"kafka.security: cannot use {files or 'the system certificates'}: {error}"
        ) from error
    return context


def client_settings(kafka: Kafka) -> dict[str, Any]:
    """What every client of aiokafka (consumer, producer, admin) is built with."""
    security = kafka.security
    settings: dict[str, Any] = {
        "bootstrap_servers": servers(kafka),
        "security_protocol": security.protocol,
        "ssl_context": tls(security),
    }
    if security.protocol.startswith("SASL"):
        settings["sasl_mechanism"] = security.mechanism
        settings["sasl_plain_username"] = security.username
        settings["sasl_plain_password"] = password(security)
    return settings


def credentials(security: Security) -> Any:
    """The same in Faust's words; None for PLAINTEXT."""
    if security.protocol == "PLAINTEXT":
        return None
    context = tls(security)
    if security.protocol == "SSL":
        return faust.SSLCredentials(context=context)
    return faust.SASLCredentials(
        username=security.username,
        password=password(security),
        mechanism=security.mechanism,
        ssl_context=context,
    )


def new_producer(kafka: Kafka, **settings: Any) -> Any:
    """A producer of aiokafka, not yet started. Must be called where a loop runs, as the next."""
    return _Producer(**client_settings(kafka), **settings)


def new_consumer(kafka: Kafka, **settings: Any) -> Any:
    """A consumer of aiokafka, not yet started."""
    return _Consumer(**client_settings(kafka), **settings)


async def connect(kafka: Kafka, patience_s: float = START_PATIENCE_S) -> Any:
    """A started admin client; the caller closes it. Tries ever more slowly while no broker answers.

    Raises BrokerUnreachable, or, at once, NotLetIn.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + patience_s, BACKOFF_S
    while True:
        try:
            return await _connected(kafka)
        except KafkaError as error:
            if loop.time() + pause > deadline:
                raise unreachable(kafka, patience_s, error) from error
            log.warning("broker away", servers=kafka.bootstrap_servers, reason=_reason(error), retry_in_s=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, BACKOFF_MAX_S)


async def _connected(kafka: Kafka) -> Any:
    settings = client_settings(kafka)
    await knock(settings, kafka.security)
    admin = _Admin(**settings)
    try:
        await admin.start()
    except KafkaError:
        await admin.close()
        raise
    return admin


def unreachable(kafka: Kafka, patience_s: float, error: KafkaError) -> BrokerUnreachable:
    """What to tell the operator."""
    return BrokerUnreachable(
        f"no Kafka broker answered at {kafka.bootstrap_servers} within {patience_s:.0f} s"
        f" ({_reason(error)}); is it running, and is kafka.bootstrap_servers right?"
    )


def _reason(error: KafkaError) -> str:
    return ", ".join(map(str, error.args)) or type(error).__name__


def partition_of(key: bytes, count: int) -> int:
    """In which of so many partitions every Kafka client puts a record with that key."""
    found: int = (_murmur2(key) & 0x7FFFFFFF) % count
    return found
