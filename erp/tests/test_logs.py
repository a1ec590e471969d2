"""Logs: personal data never reaches a line, business numbers do, and each line names its request.

All numbers are made up.
"""

import io
import json
import logging
import logging.handlers
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import structlog
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.http import Http404, HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django_structlog.middlewares import RequestMiddleware
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from benchmarks import pii_corpus
from erp import logs
from erp.logs.formats import MaskingFormatter
from erp.logs.masking import MAX_TEXT, NOTICE, mask, mask_text
from erp.logs.patterns import statement
from erp.logs.setup import StderrHandler

ROOT = Path(__file__).resolve().parents[2]
CANARIES = {
    "pan": "ZZZFS1001A",
    "gstin": "24ZZZFS1001A1ZK",
    "phone": "98765 43210",
    "email": "ramesh.patel@example.com",
    "account": "account 004512345678",
}
NAME = "Ramesh Patel"
PLANTED = " / ".join(CANARIES.values())


def leaks(text: str) -> list[str]:
    """The canaries that can be read in a text."""
    flat = text.replace(" ", "")
    return [
        kind for kind, value in CANARIES.items() if value.removeprefix("account ").replace(" ", "") in flat
    ]


@pytest.fixture(params=[True, False], ids=["json", "console"])
def written(request, request_lines):
    """What the root logger writes through the masking formatter, in both forms."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(MaskingFormatter(machine_readable=request.param))
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream.getvalue
    root.removeHandler(handler)


@pytest.fixture
def entries(request_lines):
    """Lines of the machine-readable form, parsed."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(MaskingFormatter(machine_readable=True))
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)


def counter(name, **labels):
    metrics = REGISTRY.restricted_registry([name]).collect()
    found = (s.value for metric in metrics for s in metric.samples if (s.name, s.labels) == (name, labels))
    return next(found, 0)


def test_a_canary_in_a_message_never_reaches_a_log(written):
    logging.getLogger("some.library").warning("checked %s", PLANTED)
    structlog.get_logger("ours").warning(f"checked {PLANTED}")
    structlog.get_logger("ours").warning("checked %s", PLANTED)
    assert written().count("checked") == 3
    assert leaks(written()) == []


@pytest.mark.parametrize("kind", CANARIES)
def test_a_canary_in_an_extra_field_never_reaches_a_log(written, kind):
    value = CANARIES[kind]
    nested = {"rows": [{"note": value, "raw": value.encode(), value: (value, {"deep": [value]})}]}
    logging.getLogger("some.library").warning("checked", extra={"nested": nested, "plain": value})
    structlog.get_logger("ours").warning("checked", nested=nested, plain=value)
    assert written().count("checked") == 2
    assert leaks(written()) == []


def test_a_canary_in_an_exception_never_reaches_a_log(written):
    class Carrier(Exception):
        def __repr__(self):
            return f"Carrier({PLANTED})"

    def fail(argument):
        try:
            raise ValueError(PLANTED)
        except ValueError as cause:
            error = Carrier(argument)
            error.add_note(f"seen with {PLANTED}")
            raise error from cause

    for name in ("some.library", "ours"):
        try:
            fail(PLANTED)
        except Carrier as error:
            logging.getLogger(name).exception("failed")
            structlog.get_logger(name).exception("failed", error=error)
        try:
            raise ExceptionGroup("several", [ValueError(PLANTED), KeyError(PLANTED)])
        except ExceptionGroup:
            structlog.get_logger(name).exception("failed")
    assert written().count("Traceback (most recent call last)") >= 6
    assert leaks(written()) == []


@pytest.mark.django_db
def test_a_canary_in_sql_parameters_never_reaches_a_log(written, request):
    backend = logging.getLogger("django.db.backends")
    request.addfinalizer(lambda level=backend.level: backend.setLevel(level))
    backend.setLevel(logging.DEBUG)
    with CaptureQueriesContext(connection), connection.cursor() as cursor:
        cursor.execute("SELECT %s::text AS found, %s::int", [f"Ramesh's {PLANTED}", 471_147_114])
    assert "SELECT" in written()
    assert "AS found" in written()
    assert leaks(written()) == []
    assert "Ramesh" not in written()
    assert "471147114" not in written()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("INSERT INTO canary VALUES (%s), (%s)", IntegrityError),
        ("INSERT INTO canary VALUES (%s || repeat('x', 100) || %s)", IntegrityError),
        ("SELECT %s FRM canary WHERE note = %s", ProgrammingError),
        ("SELECT %s::uuid, %s", Exception),
    ],
)
def test_database_messages_about_a_row_never_reach_a_log(written, sql, error):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE canary (note text UNIQUE CHECK (length(note) < 80))")
    with pytest.raises(error) as raised, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, [NAME, NAME])
    structlog.get_logger("ours").error("refused", exc_info=raised.value)
    logging.getLogger("some.library").error("refused: %s", raised.value, exc_info=raised.value)
    assert written().count("refused") == 2
    assert "Ramesh" not in written()
    assert "Ramesh" in str(raised.value)  # the error text contained it
    assert "Ramesh" not in mask_text(f"{raised.value!r}") + mask_text(str(raised.value))


def test_a_canary_in_a_celery_argument_never_reaches_a_log(written, monkeypatch):
    from celery import Celery
    from celery.contrib.testing.worker import start_worker
    from celery.signals import setup_logging

    app = Celery("canaries", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_always_eager = False
    done = threading.Event()

    @app.task(name="canaries.fail", shared=False)
    def fail(*args, **kwargs):
        done.set()
        raise ValueError(f"can't do {kwargs}")

    setup_logging.connect(_collect, weak=False)
    try:
        monkeypatch.setattr(logging.getLogger("celery"), "level", logging.DEBUG)
        with start_worker(app, pool="solo", loglevel="debug", perform_ping_check=False, shutdown_timeout=30):
            fail.delay("004512345678", [PLANTED], note=PLANTED, number=9876543210)
            app.send_task("canaries.unknown", args=["004512345678", PLANTED])
            assert done.wait(20)
            deadline = time.monotonic() + 20
            while "canaries.unknown" not in written() and time.monotonic() < deadline:
                time.sleep(0.05)
    finally:
        setup_logging.disconnect(_collect)
    assert "canaries.fail" in written()
    assert "ValueError" in written()
    assert "canaries.unknown" in written()
    assert leaks(written()) == []


def _collect(**kwargs):
    """As config.celery does: Celery must not replace our logging."""


@pytest.mark.parametrize("how", ["main", "thread", "warning", "badly formatted", "no such stream"])
def test_a_canary_in_what_nobody_caught_never_reaches_stderr(how):
    program = {
        "main": "raise ValueError(PLANTED)",
        "thread": "import threading; t = threading.Thread(target=lambda: int(PLANTED)); t.start(); t.join()",
        "warning": "import warnings; warnings.warn('deprecated ' + PLANTED)",
        "badly formatted": "import logging; logging.getLogger('x').error('%d', PLANTED)",
        "no such stream": "import logging, sys; sys.stderr.reconfigure(encoding='ascii', errors='strict');"
        " logging.getLogger('x').error('ж ' + PLANTED)",
    }[how]
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "from config.logging import logging_config; logging_config('INFO', False)\n"
            f"PLANTED = {PLANTED!r}\n{program}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert leaks(ran.stderr + ran.stdout) == []
    assert ran.stdout == ""
    if how == "warning":
        assert "deprecated" in ran.stderr
    if how in ("main", "thread"):
        assert "uncaught_error" in ran.stderr
        assert "ValueError" in ran.stderr


def test_a_line_that_cannot_be_written_leaves_nothing_of_its_content(monkeypatch):
    class Stream(io.StringIO):
        fails = True

        def write(self, text):
            if self.fails:
                self.fails = False
                raise OSError("no space left")
            return super().write(text)

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    handler = StderrHandler()
    handler.setFormatter(MaskingFormatter())
    handler.handle(logging.LogRecord("some.library", logging.WARNING, "", 1, "checked %s", (PLANTED,), None))
    assert not stream.fails
    assert leaks(stream.getvalue()) == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("PAN ZZZFS1001A, zzzfs1001a or ZZZFS 1001 A.", "PAN [pan hidden], [pan hidden] or [pan hidden]."),
        (
            "GST 24ZZZFS1001A1ZK, 24 zzzfs1001a-1zk, mistyped 24ZZZFS1001A1ZX",
            "GST [gstin hidden], [gstin hidden], mistyped [gstin hidden]",
        ),
        ("GST of others 0717ZZZ00001UN3 27ZZZM01249A1Z9", "GST of others [gstin hidden] [gstin hidden]"),
        (
            "call 9876543210 or +91 98765-43210 or 098765 43210",
            "call [phone hidden] or [phone hidden] or [phone hidden]",
        ),
        (
            "call (022) 2345 6789, +44 20 7946 0958, +1 (415) 555-0123",
            "call [phone hidden], [phone hidden], [phone hidden]",
        ),
        ("phone: 0044 20 7946 0958", "phone: [phone hidden]"),
        ("call ९८७६५४३२१० or ９８７６５４３２１０", "call [phone hidden] or [phone hidden]"),
        ("98765\u200b43210", "[phone hidden]"),
        ("from a.b+c@example.co.in, a%40example.com", "from [email hidden], [email hidden]"),
        ("pay to ramesh@okzzz", "pay to [upi hidden]"),
        ("A/c 0045 1234 5678, khata no. 004512345678", "A/c [account hidden], khata no. [account hidden]"),
        ("004512345678 is the beneficiary's account", "[account hidden] is the beneficiary's account"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN [account hidden]"),
        ("branch ZZZB0000001", "branch [ifsc hidden]"),
        ("card 4111 1111 1111 1111, 378282246310005", "card [card hidden], [card hidden]"),
        ("aadhaar 9999 1111 2221, bare 999911112221", "aadhaar [aadhaar hidden], bare [aadhaar hidden]"),
        ("mistyped aadhaar 999911112223", "mistyped aadhaar [aadhaar hidden]"),
        ("Your OTP is 482913", "Your OTP is [otp hidden]"),
        ("482913 is your one-time password", "[otp hidden] is your one-time password"),
        ("OTP for order 12345: 482913", "OTP for order 12345: [otp hidden]"),
        ("password=hunter2&x=1", "password=[hidden]&x=1"),
        ("{'password': 'it\\'s me', 'n': 1}", "{'password': [hidden], 'n': 1}"),
        ('{\\"new_password\\": \\"open sesame\\", 1}', '{\\"new_password\\": [hidden], 1}'),
        ("Authorization: Bearer abc.def123456, more", "Authorization: [hidden], more"),
        ("Cookie: sessionid=abc; theme=dark", "Cookie: [hidden]"),
        ('{\\\\"client_secret\\\\": \\\\"s3cret\\\\"}', '{\\\\"client_secret\\\\": [hidden]}'),
        ("sent Bearer abcdef123456 along", "sent Bearer [hidden] along"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt [hidden]"),
        ("key erp_live_4fzzAbCdEf and erp_test_4fzzAbCdEf", "key [hidden] and [hidden]"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[hidden]"),
        ("the password is hunter2", "the password is [hidden]"),
        ("redis://:s3cret@cache:6379/0", "redis://[hidden]@cache:6379/0"),
        ("ip=203.0.113.9 email='x y'", "ip=[hidden] email=[hidden]"),
        ("argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA", "[hidden],t=2,p=8$c2FsdA$aGFzaA"),
        ("mobile: 98765 43210, pan: ZZZFS 1001 A", "mobile: [phone hidden], pan: [pan hidden]"),
    ],
)
def test_personal_data_is_replaced_by_its_kind(text, masked):
    if text.startswith("argon2"):
        assert "argon2id" not in mask_text(text)
        return
    assert mask_text(text) == masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "TRD-2526-000123 of AVL-2627-000123",
        "invoice INV-9876543210, invoice no: 9876543210, Inv/25-26/001",
        "order 9876543210 of lot 7766554433",
        "UTR 531512345678, utr: ZZZBR52026112412345678, NEFT ZZZBN52026112412",
        "reference=987654321012",
        "2479684.66 INR, 9876543210.50 INR, 24,79,684.66",
        "019a1b2c-1234-7000-8000-987654321012",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "2026-11-24T15:41:27.933292Z and 1767225600 and 1767225600123",
        "a bare 004512345678",
        "account closed on 2026-11-24 15:41:27",
        "token is invalid or expired",
        "password is too common",
        "HSN 5201, 100 bales of 170 kg, crop 2025-26",
        "availability.quantity_exceeded at /lots/0/crop_year",
        "GET /api/v1/trades/019a1b2c-1234-7000-8000-987654321012",
        "duplicate key value violates unique constraint \"account_user_email_key\"",
        "खेत में १०० गाँठ",
        "deploying v5.2.19 on host-12 took 12.5 ms",
    ],
)  # fmt: skip
def test_business_numbers_and_plain_words_survive(text):
    assert mask_text(text) == text


def test_fields_are_judged_by_their_names():
    assert mask(
        {
            "new_password": "x",
            "userEmail": "none given",
            "HTTP_AUTHORIZATION": "x",
            "headers": [("Cookie", "a=b"), (b"Accept", b"*/*")],
            "phone": 4155550123,
            "otp": 123456,
            "code": "482913",
            "client_ip": "203.0.113.9",
            "account": 4512345678901,
            "token": {"access": "x"},
            "args": ["x"],
            "kwargs": {"a": 1},
        }
    ) == {
        "new_password": "[hidden]",
        "userEmail": "[hidden]",
        "HTTP_AUTHORIZATION": "[hidden]",
        "headers": [["Cookie", "[hidden]"], ["Accept", "*/*"]],
        "phone": "[hidden]",
        "otp": "[hidden]",
        "code": "[otp hidden]",
        "client_ip": "[hidden]",
        "account": "[account hidden]",
        "token": "[hidden]",
        "args": "[hidden]",
        "kwargs": "[hidden]",
    }


def test_fields_that_say_nothing_personal_survive():
    fields = {
        "code": 200,
        "email_sent": True,
        "mobile": None,
        "input_tokens": 1200,
        "order_id": "9876543210",
        "utr": "531512345678",
        "expand": "partner",
        "shipment": "ab",
        "position": 9876543210,
        "amount": "2479684.66",
        "rows": [1, 2.5, "three"],
    }
    assert mask(fields) == fields


def test_a_value_of_any_shape_is_masked_and_bounded():
    cyclic: dict = {"note": "ZZZFS1001A"}
    cyclic["self"] = cyclic
    deep: list = ["ZZZFS1001A"]
    for _ in range(1_000):
        deep = [deep]
    assert mask(cyclic) == {"note": "[pan hidden]", "self": "[cycle]"}
    assert "ZZZFS" not in json.dumps(mask([cyclic, deep, 10**5000, float("nan"), object(), range(3)]))
    assert len(mask(["x"] * 100_000)) < 10_000
    assert len(mask({str(n): n for n in range(100_000)})) < 10_000
    assert len(mask_text("x" * 10**6)) <= MAX_TEXT + 1


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_masking_twice_equals_once(text):
    once = mask_text(text)
    assert mask_text(once) == once


@settings(max_examples=300, deadline=None)
@given(
    before=st.text(alphabet=" ,.;:()[]{}\"'=\n\t-/", max_size=10),
    after=st.text(alphabet=" ,;:()[]{}\"'=\n\t/", max_size=10),
    kind=st.sampled_from(sorted(CANARIES)),
)
def test_punctuation_around_personal_data_hides_nothing_from_the_masker(before, after, kind):
    assert leaks(mask_text(f"x{before} {CANARIES[kind]}{after}")) == []


HOSTILE = [
    *"a1@9'-[\\\"é１",
    *(
        "a@",
        "a.",
        "a=",
        "a/",
        "+91",
        "98765 ",
        "account ",
        "1234 ",
        "eyJ",
        "eyJa.",
        "password=",
        "token",
        "token-",
    ),
    *(
        "\\n",
        "(0",
        "+1(",
        "24",
        "ZZZFS",
        "order ",
        "order a",
        "otp 1234",
        "Bearer a1",
        "\nDETAIL:",
        "\nLINE 1",
    ),
    *(
        "invalid input syntax for ",
        "://a",
        "AB12",
        "AB12 ",
        "password is ",
        "-----BEGIN",
        "/*",
        "$a$",
        "e'\\",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_line_costs_time_in_proportion_to_its_length(piece):
    line = (piece * 100_000)[:100_000]
    started = time.process_time()
    mask_text(line)
    statement(line)
    assert time.process_time() - started < 2


def test_a_statement_is_logged_without_its_literals():
    sql = """SELECT "a'b", t1.c FROM t1 WHERE x = 'it''s' AND y = E'it\\'s' AND z > -12.5 -- it's
        /* don't */ AND d = $tag$ it's $tag$ AND e IN ('a', 'b') LIMIT 21"""
    assert " ".join(statement(sql).split()) == (
        """SELECT "a'b", t1.c FROM t1 WHERE x = ? AND y = ? AND z > -? ? ? AND d = ? """
        "AND e IN (?, ?) LIMIT ?"
    )
    assert statement("SELECT 'never closed") == "SELECT ?"


class Broken(Mapping):
    """Fails when it is looked into."""

    def __getitem__(self, key):
        raise RuntimeError(PLANTED)

    def __iter__(self):
        raise RuntimeError(PLANTED)

    def __len__(self):
        return 1


def test_a_line_that_cannot_be_masked_is_replaced_and_counted(written):
    before = counter("erp_pii_failures_total")
    structlog.get_logger("ours").warning("checked", field=Broken())
    assert written().count(NOTICE) == 1
    assert "checked" not in written()
    assert leaks(written()) == []
    assert counter("erp_pii_failures_total") == before + 2  # stderr's handler had it too


def test_a_record_that_cannot_be_formatted_is_replaced():
    record = logging.LogRecord("some.library", logging.WARNING, "", 1, "%d bales", (PLANTED,), None)
    for machine_readable in (True, False):
        line = MaskingFormatter(machine_readable).format(record)
        assert NOTICE in line
        assert "some.library" in line
        assert leaks(line) == []


def test_what_is_hidden_is_counted_by_kind():
    before = counter("erp_pii_redactions_total", kind="pan")
    mask_text("ZZZFS1001A and ZZZFS1001A")
    assert counter("erp_pii_redactions_total", kind="pan") == before + 2


def test_the_configuration_in_force_has_no_way_past_the_masker():
    assert logs.masking_faults() == []
    assert logs.check_masking() == []


@pytest.fixture
def intruder():
    """Add a handler to a logger without its addHandler."""
    added = []

    def put(name, handler):
        logger = logging.getLogger(name)
        logger.handlers.append(handler)
        added.append((logger, handler))

    yield put
    for logger, handler in added:
        logger.handlers.remove(handler)


@pytest.mark.parametrize("name", ["", "some.library"])
def test_a_handler_without_the_masker_fails_the_check(intruder, name):
    intruder(name, logging.StreamHandler())
    (error,) = logs.check_masking()
    assert error.is_serious()
    assert (name or "root") in error.msg


def test_a_formatter_stripped_of_its_masker_fails_the_check(intruder):
    handler = StderrHandler()
    formatter = MaskingFormatter()
    formatter.processors = [formatter.processors[0], formatter.processors[-1]]
    handler.setFormatter(formatter)
    intruder("some.library", handler)
    assert len(logs.masking_faults()) == 1


def test_a_handler_behind_another_is_seen_too(intruder):
    outer = logging.handlers.MemoryHandler(10, target=logging.StreamHandler())
    outer.setFormatter(MaskingFormatter())
    intruder("some.library", outer)
    assert "StreamHandler" in logs.masking_faults()[0]


def test_a_library_cannot_add_a_handler_of_its_own():
    stream = io.StringIO()
    for name in ("some.library", "another.library"):
        logging.getLogger(name).addHandler(logging.StreamHandler(stream))
        logging.getLogger(name).warning("hello")
    assert stream.getvalue() == ""
    assert logs.masking_faults() == []


def test_structlog_writing_by_itself_fails_the_check():
    original = structlog.get_config()
    try:
        structlog.configure(processors=[structlog.processors.JSONRenderer()])
        assert "structlog" in logs.masking_faults()[0]
    finally:
        structlog.configure(**original)


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def serve(view, **headers):
    return logs.RequestIdMiddleware(RequestMiddleware(view))(
        RequestFactory().get("/api/v1/partners?search=Ramesh", headers=headers, REMOTE_ADDR="203.0.113.9")
    )


def test_a_callers_request_id_is_taken_over_everywhere(entries):
    seen = {}

    def view(request):
        seen.update(
            attribute=request.request_id,
            header=request.headers["X-Request-ID"],
            context=logs.current_request_id(),
            trace=logs.current_traceparent(),
        )
        structlog.get_logger("ours").warning("in the view")
        return HttpResponse()

    answer = serve(view, x_request_id="caller-0001", traceparent=TRACE)
    assert answer["X-Request-ID"] == "caller-0001"
    assert seen == {
        "attribute": "caller-0001",
        "header": "caller-0001",
        "context": "caller-0001",
        "trace": TRACE,
    }
    lines = entries()
    assert [line["message"] for line in lines] == ["request_started", "in the view", "request_finished"]
    for line in lines:
        assert line["logging.googleapis.com/labels"]["request_id"] == "caller-0001"
        assert line["logging.googleapis.com/trace"].endswith("0af7651916cd43dd8448eb211c80319c")
        assert line["logging.googleapis.com/spanId"] == "b7ad6b7169203331"
        assert line["logging.googleapis.com/trace_sampled"] is True


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "with space", "line\nbreak", "ünïcödé-id", "a/b/c/d/e"]
)
def test_an_unfit_request_id_is_replaced(given):
    seen = set()

    def view(request):
        seen.update((request.request_id, request.headers["X-Request-ID"], logs.current_request_id()))
        return HttpResponse()

    answer = serve(view, x_request_id=given)
    assert seen == {answer["X-Request-ID"]}
    assert answer["X-Request-ID"] != given
    assert 8 <= len(answer["X-Request-ID"]) <= 64


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        TRACE.upper(),
        TRACE.replace("00-", "ff-"),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        TRACE + "-x",
    ],
)
def test_an_invalid_trace_context_is_replaced(given):
    seen = []
    serve(lambda request: seen.append(request.traceparent) or HttpResponse(), traceparent=given)
    assert seen[0] != given
    assert len(seen[0]) == len(TRACE)


def test_request_lines_hold_no_address_agent_or_query(written):
    bound = {}

    def view(request):
        bound.update(structlog.contextvars.get_contextvars())
        return HttpResponse()

    serve(view, user_agent="Ramesh's own browser")
    assert "/api/v1/partners" in written()
    assert "Ramesh" not in written()
    assert "user_agent" not in written()
    assert "203.0.113.9" not in written()
    assert "ip" not in bound  # what is bound travels on to the tasks that the request starts


def test_a_failed_request_is_logged_with_its_id(client, entries):
    client.raise_request_exception = False
    answer = client.get("/no/such/page", headers={"x-request-id": "caller-0002"})
    assert answer.status_code == 404
    assert answer["X-Request-ID"] == "caller-0002"
    ids = {line["logging.googleapis.com/labels"].get("request_id") for line in entries()}
    assert ids == {"caller-0002"}


def test_nothing_stays_bound_after_a_request():
    def view(request):
        raise Http404

    with pytest.raises(Http404):
        serve(view, x_request_id="caller-0003")
    assert logs.current_request_id() == ""
    assert logs.current_traceparent() == ""


def test_work_outside_a_request_can_be_bound_to_one():
    assert logs.current_request_id() == ""
    with logs.bind(request_id="job-000001", traceparent=TRACE):
        assert logs.current_request_id() == "job-000001"
        assert logs.current_traceparent() == TRACE
    assert logs.current_request_id() == ""


def test_a_machine_readable_line_speaks_google_clouds_words(entries):
    for level in ("info", "warning", "error", "critical"):
        getattr(structlog.get_logger("ours"), level)(
            "settled", amount="2479684.66", severity="mine", time="mine"
        )
    assert [line["severity"] for line in entries()] == ["INFO", "WARNING", "ERROR", "CRITICAL"]
    line = entries()[0]
    assert line["message"] == "settled"
    assert line["amount"] == "2479684.66"
    assert line["time"].startswith("20")
    assert line["severity_"] == line["time_"] == "mine"
    assert line["logging.googleapis.com/labels"] == {"logger": "ours"}


def test_on_the_seeded_corpus_nothing_planted_can_be_read():
    result = pii_corpus.measure(lines=3_000, seed=7)
    assert result.missed == []
    assert {kind: score.recall for kind, score in result.scores.items()} == dict.fromkeys(
        pii_corpus.PLANTED, 1
    )
    assert all(score.planted >= 100 for score in result.scores.values())
    assert all(score.precision >= 0.95 for score in result.scores.values())


def test_on_the_seeded_corpus_business_numbers_survive():
    survival = pii_corpus.measure(lines=3_000, seed=8).survival
    for kind in ("document", "invoice", "reference", "uuid", "amount", "hash", "words"):
        surviving, total = survival[kind]
        assert surviving == total > 100, kind
