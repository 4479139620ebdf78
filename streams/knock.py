"""Asks whether a cluster lets this process in, and says in one line why not: aiokafka's clients only log that."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from schemas.config import Security
from streams.errors import TidegateError

ANSWER_S: Final = 10.0
GOODBYE_S: Final = 0.5

# aiokafka is annotated in part only
_hosts: Any = collect_hosts
_connect: Any = create_conn
_Metadata: Any = MetadataRequest


class NotLetIn(TidegateError):
    """A broker has answered, and said no. To ask again is of no use."""


async def knock(settings: dict[str, Any], security: Security) -> None:
    """Return when a broker has answered. `settings` are those of every client.

    Raises NotLetIn if one said no and none said yes, KafkaConnectionError with the reasons if none said anything.
    """
    connection = dict(settings)
    refused: NotLetIn | None = None
    silent: list[str] = []
    for host, port, _ in _hosts(connection.pop("bootstrap_servers")):
        try:
            return await _answered(host, port, connection)
        except (KafkaError, OSError, TimeoutError) as error:
            if said := why_not(error, security):
                refused = refused or NotLetIn(f"Kafka at {host}:{port} {said}")
            else:
                silent.append(f"{host}:{port}: {_reason(error, security)}")
    raise refused or KafkaConnectionError("; ".join(silent))


async def _answered(host: str, port: int, connection: dict[str, Any]) -> None:
    async with asyncio.timeout(ANSWER_S):
        made = await _connect(host, port, **connection)
        try:
            await made.send(_Metadata([]))  # a broker lets anybody connect, and hangs up on who must say who they are
        finally:
            closed = made.close()
            if closed is not None:
                await asyncio.wait({closed}, timeout=GOODBYE_S)


def why_not(error: Exception, security: Security) -> str | None:
    """What a broker has against this process; None: it has not said so."""
    match error:
        case ssl.SSLCertVerificationError():
            by = security.ca_file or "the system's authorities"
            return (
                f"shows a certificate that is not vouched for by {by} (kafka.security.ca_file): {error.verify_message}"
            )
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return None
        case ssl.SSLError():
            return f"does not speak TLS as kafka.security.protocol {security.protocol} wants: {error.reason}"
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return f"does not take kafka.security.mechanism {security.mechanism} on this listener"
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            user = f"the user {security.username!r} with this password"
            return f"does not know {user} (kafka.security, {security.mechanism})"
    return None


def _reason(error: Exception, security: Security) -> str:
    match error:
        case KafkaConnectionError() | ConnectionResetError() | ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return f"it hangs up on {security.protocol}; does kafka.security.protocol fit this listener?"
        case TimeoutError():
            return "no answer in time"
        case ConnectionRefusedError():
            return "connection refused"
    return f"{type(error).__name__} {error}".rstrip()
