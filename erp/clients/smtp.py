"""Mail by SMTP, under the same rules as HTTP: a deadline, a circuit breaker, never inside a transaction."""

import math
import smtplib
import socket
import ssl
import threading
import time
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any, Literal

import httpcore
import structlog

from erp.clients import (
    Client,
    RemoteRefused,
    RemoteResponse,
    RemoteUnavailable,
    network,
    refuse_inside_transaction,
)
from erp.clients.breakers import Open
from erp.identifiers import EMAIL, IdentifierInvalid

logger = structlog.get_logger(__name__)

UNUSABLE_ADDRESS = (
    553  # "mailbox name not allowed" (RFC 5321 §4.2.3): used for addresses that are refused unsent
)

Security = Literal["none", "starttls", "tls"]


class SmtpClient(Client, abstract=True):
    """Base of clients that send mail through an SMTP server. Retries are left to the caller.

    ``security`` says when the connection is encrypted: never, by STARTTLS, or from the start.
    """

    retries = 0
    fallback = "queued"

    def __init__(
        self, host: str, port: int, *, security: Security = "starttls", username: str = "", password: str = ""
    ) -> None:
        super().__init__()
        self._host, self._port, self._security = host, port, security
        self._username, self._password = username, password

    def recipient(self, address: str) -> Address:
        """Return the address for the header To, its domain in ASCII.

        Raises RemoteRefused for one that no server would take: it isn't sent, and the breaker isn't touched.
        """
        try:
            return mail_address(address)
        except ValueError:
            raise self._no(time.monotonic(), UNUSABLE_ADDRESS) from None

    def send(self, message: EmailMessage) -> None:
        """Send one message. Its headers name sender and recipients.

        The breaker counts what is wrong with the server: no connection, no answer in time, a 4xx that isn't about
        the recipient. A message that the server refuses for good doesn't count.

        Raises RemoteUnavailable (down, too slow, breaker open, or "not now") and RemoteRefused (the server won't
        take this message, now or later).
        """
        refuse_inside_transaction()
        started = time.monotonic()
        breaker = self.breaker("send")
        try:
            probe = breaker.admit(lease=self.timeout + 1)
        except Open as refused:
            self.measure(started, "open")
            raise self._unavailable(refused.retry_after) from None
        try:
            self._exchange(message, started + self.timeout)
        except _ReplyRefused as error:
            breaker.report(ok=not error.by_server, probe=probe)
            raise self._no(started, error.code) from None
        except OSError as error:  # smtplib's own failures included
            breaker.report(ok=False, probe=probe)
            outcome: Literal["timeout", "error"] = "timeout" if isinstance(error, TimeoutError) else "error"
            logger.warning(
                "remote_call_failed",
                client=self.name,
                operation="send",
                outcome=outcome,
                reason=type(error).__name__,
                seconds=round(time.monotonic() - started, 3),
            )
            self.measure(started, outcome)
            raise self._unavailable() from error
        except BaseException:
            breaker.abandon(probe=probe)
            raise
        breaker.report(ok=True, probe=probe)
        self.measure(started, "ok")

    def _exchange(self, message: EmailMessage, deadline: float) -> None:
        """Raises _Refused for what is about this message, OSError for what is about the server."""
        with _Conversation(self, deadline) as server:
            code, words = server.connect(self._host, self._port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, words)
            if self._security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self._username:
                server.login(self._username, self._password)
            try:
                server.send_message(message)
            except smtplib.SMTPRecipientsRefused as error:
                raise _ReplyRefused(
                    max(code for code, _ in error.recipients.values()), of_recipient=True
                ) from None
            except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
                raise _ReplyRefused(error.smtp_code) from None
            except (smtplib.SMTPNotSupportedError, ValueError):  # what the server or SMTP can't express
                raise _ReplyRefused(UNUSABLE_ADDRESS) from None

    def _no(self, started: float, code: int) -> Exception:
        """Classify a refusal: codes from 500 on are final, those below say "not now" (RFC 5321 §4.2.1)."""
        if code < 500:
            self.measure(started, "throttled")
            return self._unavailable()
        self.measure(started, "refused")
        return RemoteRefused(self.name, "send", RemoteResponse(status=code))

    def _unavailable(self, retry_after: float = 0.0) -> RemoteUnavailable:
        return RemoteUnavailable(
            f"The service {self.name} does not answer; the work stays queued.",
            retry_after=max(1, math.ceil(retry_after)),
        )


class _ReplyRefused(Exception):
    """The server refused a message by this code. ``by_server``: any other message would be refused as well."""

    def __init__(self, code: int, *, of_recipient: bool = False) -> None:
        super().__init__(code)
        self.code = code
        # A mailbox may be full or greylisted (450 to 452) while the server is well; 421 closes the connection.
        self.by_server = code == 421 or code < (400 if of_recipient else 500)


def mail_address(text: str) -> Address:
    """Parse an address for a header, its domain in ASCII. Raises ValueError for one that SMTP can't send to."""
    try:
        return Address(addr_spec=EMAIL.normalise(text))
    except (IdentifierInvalid, HeaderParseError, IndexError):
        raise ValueError("the address can't be used in a mail") from None


class _Conversation(smtplib.SMTP):
    """One connection whose socket is cut off at the deadline, however the server drips."""

    def __init__(self, client: SmtpClient, deadline: float) -> None:
        super().__init__(local_hostname="localhost", timeout=client.read_timeout)
        self._client, self._deadline = client, deadline
        self._host = client._host  # whose certificate STARTTLS asks for
        self._cut = False
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._cut_off)
        self._timer.daemon = True
        self._timer.start()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        by = min(time.monotonic() + self._client.connect_timeout, self._deadline)
        made = _connected(host, port, by)
        made.settimeout(self._client.read_timeout)
        if self._client._security == "tls":
            made = ssl.create_default_context().wrap_socket(made, server_hostname=host)
        return made

    def _cut_off(self) -> None:
        self._cut = True
        if (held := self.sock) is not None:
            try:
                held.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def __exit__(self, *args: Any) -> None:
        # No QUIT: the message is accepted or not, and a server slow to say goodbye must not undo that.
        self._timer.cancel()
        self.close()
        error = args[1]
        if self._cut and isinstance(error, OSError):
            raise TimeoutError("the deadline has passed") from error


def _connected(host: str, port: int, by: float) -> socket.socket:
    """A connection to one of the host's addresses, by then. Raises OSError."""
    try:
        addresses = network.resolve(host, port, max(0.001, by - time.monotonic()))
    except httpcore.ConnectTimeout as error:
        raise TimeoutError(str(error)) from None
    except httpcore.ConnectError as error:
        raise OSError(str(error)) from None
    failed: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=max(0.001, by - time.monotonic()))
        except OSError as error:
            failed = error
    raise failed
