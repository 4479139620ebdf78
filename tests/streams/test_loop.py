"""The worker's event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.loop import Loop
from tests.secure_kafka import Authority

PATIENCE_S = 15.0  # less than the 30 s that uvloop itself waits


@contextmanager
def broker_that_says_no_goodbye(context: ssl.SSLContext) -> Iterator[int]:
    """A TLS server that shakes hands, and does nothing more: its port."""
    done = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True):
            done.wait(2 * PATIENCE_S)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            done.set()
            thread.join(PATIENCE_S)


def test_a_connection_that_is_closed_does_not_wait_for_the_other_side(tmp_path: Path) -> None:
    """Over TLS a broker in a long poll says no goodbye; a partition that is restored must not wait for it."""
    authority = Authority.new("tests")
    (tmp_path / "server.pem").write_text(authority.server())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem")
    client = ssl.create_default_context(cadata=authority.pem)

    async def scenario(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.close()
        closing = asyncio.ensure_future(writer.wait_closed())
        await asyncio.wait({closing}, timeout=PATIENCE_S)
        assert closing.done()
        assert isinstance(closing.exception(), TimeoutError)  # cut off

    with broker_that_says_no_goodbye(server) as port, asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(scenario(port))
