"""Sockets that keep a deadline: a slow name server or remote cannot delay a call beyond it."""

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

_deadline: ContextVar[float] = ContextVar("deadline")
# Addresses that embed an IPv4 address of anyone's choice: the rules for that one can't be checked reliably.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(Exception):
    """The host has an address that isn't public; nothing was sent."""


@contextmanager
def within(deadline: float) -> Iterator[None]:
    """Everything on the network inside the block ends by ``deadline`` (``time.monotonic()``)."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def transport(*, public_only: bool) -> httpx.HTTPTransport:
    """HTTP over sockets that keep the deadline. ``public_only``: each connection's address is checked."""
    made = httpx.HTTPTransport(retries=0, trust_env=False)
    # httpx has no parameter for httpcore's network backend; the versions of both are pinned.
    made._pool._network_backend = _Backend(public_only)
    return made


def _left(timeout: float | None, error: type[Exception]) -> float:
    left = _deadline.get(time.monotonic() + 60) - time.monotonic()
    if left <= 0:
        raise error("the deadline has passed")
    return left if timeout is None else min(left, timeout)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, public_only: bool) -> None:
        self._public_only = public_only
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port, _left(timeout, httpcore.ConnectTimeout))
        if self._public_only and not all(map(_is_public, addresses)):
            raise AddressRefused("the host's address isn't public")
        failed: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:  # the checked address itself, never the name again
            try:
                stream = self._sockets.connect_tcp(
                    address, port, _left(timeout, httpcore.ConnectTimeout), local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failed = error
            else:
                return _Stream(stream)
        raise failed


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def resolve(host: str, port: int, timeout: float) -> list[str]:
    """The host's addresses, at most four. The system's resolver has no timeout, so it runs beside."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(address[0]) for *_, address in found])
        except OSError as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise httpcore.ConnectTimeout("the name server doesn't answer") from None
    if isinstance(answer, OSError):
        raise httpcore.ConnectError("the name isn't known") from None
    return list(dict.fromkeys(answer))[:4]


def _is_public(address: str) -> bool:
    """Whether an address is on the public internet: not private, local, shared, reserved, translated."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip.sixtofour or ip.teredo or ip in _TRANSLATED:
            return False
    return ip.is_global and not ip.is_multicast
