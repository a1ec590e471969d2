"""An SMTP server that accepts, refuses, hangs or answers slowly, as configured by a test."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage


class Server(socketserver.ThreadingTCPServer):
    """Answers per command are texts in ``answers``; ``hang`` holds everything back, ``drip`` sends byte by byte."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        self.connections = 0
        self.hang = self.drip = False
        self.stopped = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the game."""


class Conversation(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self.server.connections += 1
        if self.server.hang:
            self.server.stopped.wait(60)
            return
        self.set_reply("CONNECT", "220 ready")
        while line := self.rfile.readline():
            verb = line.decode().split(" ")[0].strip().split(":")[0].upper()
            if verb == "DATA":
                if not self.set_reply(verb, "354 go on").startswith("354"):
                    continue
                lines = []
                while (text := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(text[1:] if text.startswith(b"..") else text)
                taken = self.server.answers.get("END", "250 taken")
                if taken.startswith("250"):
                    self.server.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))  # type: ignore[arg-type]
                self.set_reply("END", taken)
            else:
                self.set_reply(verb, "250 fine")

    def set_reply(self, verb: str, answer: str) -> str:
        """Send the configured answer, else ``answer``; returns what was sent, as a test may change it at once."""
        reply = self.server.answers.get(verb, answer)
        text = f"{reply}\r\n".encode()
        if not self.server.drip:
            self.wfile.write(text)
            return reply
        for place in range(len(text)):
            if self.server.stopped.wait(0.2):
                break
            self.wfile.write(text[place : place + 1])
        return reply


@contextmanager
def running() -> Iterator[Server]:
    """A server on a free port, for the time of the block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            server.shutdown()
            thread.join(10)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def shut_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def until(done: object, seconds: float = 10.0) -> None:
    """Poll until ``done()`` is true."""
    give_up = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < give_up, "it didn't happen in time"
        time.sleep(0.02)
