"""Fixtures of notifications: templates, an SMTP server and an SMS gateway."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from apps.notifications import services
from erp.access import SYSTEM
from erp.clients import Client
from erp.tests.smtp_server import running


@pytest.fixture(autouse=True)
def _fresh_breakers():
    Client._breakers.clear()
    yield
    Client._breakers.clear()


@pytest.fixture
def texts(db):
    """Load the shipped templates."""
    return services.load_templates(actor=SYSTEM)


@pytest.fixture
def post(settings):
    """A running SMTP server for e-mail."""
    with running() as server:
        settings.MAIL_PROVIDER, settings.SMTP_SECURITY = "smtp", "none"
        settings.SMTP_HOST, settings.SMTP_PORT = "127.0.0.1", server.port
        yield server


@pytest.fixture
def gateway(settings):
    """A running SMS gateway: its received calls and the status that it returns."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.calls.append((dict(self.headers), json.loads(body)))
            answer = json.dumps({"id": "gw-1"}).encode()
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            """Nothing."""

    state = SimpleNamespace(calls=[], status=200)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        settings.SMS_PROVIDER, settings.SMS_URL = "http_sms", f"http://127.0.0.1:{server.server_port}/send"
        settings.SMS_TOKEN, settings.SMS_SENDER, settings.SMS_ENTITY_ID = "gate-token", "CTNERP", "1101"
        yield state
        server.shutdown()
        thread.join(10)
