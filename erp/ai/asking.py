"""One question: the built-in answer, or that of a remote model where everything allows it."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from kombu.exceptions import OperationalError
from prometheus_client import Counter
from redis.exceptions import RedisError

from erp import clock
from erp.access import Actor
from erp.ai import budgets, provider, scrubbing
from erp.ai.models import Budget, Call, Prompt, cost_of
from erp.ai.registry import Answer, Facts, Suggestion, Task
from erp.ai.tasks import record_call
from erp.api import throttling
from erp.clients import RemoteRefused, RemoteUnavailable
from erp.errors import Throttled
from erp.ids import uuid7

logger = structlog.get_logger(__name__)

CALLS = Counter(
    "erp_ai_calls_total", "Questions meant for a remote model, by outcome.", ["operation", "outcome", "code"]
)
BUILT_IN: Final = "builtin"
MOST_TOKENS_IN: Final = 4_000
CACHED_SECONDS: Final = 600

Why = Literal[
    "not_allowed", "limit", "scrub_failed", "too_large", "over_budget", "breaker_open", "timeout", "unavailable",
    "invalid_output",
]  # fmt: skip


class _Stopped(Exception):
    """A remote model can't answer, for this reason."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


def ask(task: Task, question: Any, *, actor: Actor, for_partner: UUID | None = None) -> Suggestion:
    """Suggest an answer to a question of the task, from facts that the actor's partner may use.

    ``for_partner`` is the partner that the answer is for where staff or SYSTEM ask: it gets no other facts by that.

    Facts are read in a read-only transaction of its own; a remote model is asked after it. Inside a transaction of
    the caller's (a change, a local lookup) only the built-in function answers. Whatever stops the remote model, the
    built-in answer is returned with the reason in ``degraded``; an outage is never an error of the caller.
    """
    partner_id = for_partner or actor.partner_id
    if settings.AI_PROVIDER == BUILT_IN or _in_transaction():
        return _suggestion(task.built_in(question, task.facts(question, partner_id)))
    with _read_only():
        facts = task.facts(question, partner_id)
        own = task.built_in(question, facts)
        budget, prompt = _allowed(task, actor)
    if budget is None or prompt is None:
        return _suggestion(own, degraded="not_allowed")
    return _Question(task, question, facts, own, actor, budget, prompt).ask()


def _suggestion(answer: Answer[Any], **origin: Any) -> Suggestion:
    return Suggestion(
        value=answer.value,
        confidence=answer.confidence.quantize(Decimal("0.001")),
        reasons=answer.reasons,
        evidence=answer.evidence,
        **{"provider": BUILT_IN, **origin},
    )


def _in_transaction() -> bool:
    """Whether the caller has opened a transaction (that of a test case doesn't count)."""
    return any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


@contextmanager
def _read_only() -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        if not getattr(connection.atomic_blocks[0], "_from_testcase", False):
            cursor.execute("SET TRANSACTION READ ONLY")
        yield


def _allowed(task: Task, actor: Actor) -> tuple[Budget | None, Prompt | None]:
    """The budget that pays, and the prompt, if the task may be asked for the actor's organization."""
    budget = Budget.objects.active().filter(
        organization_id=actor.organization_id, tasks__contains=[task.name]
    )
    prompt = Prompt.objects.active().filter(task=task.name, schema_hash=scrubbing.schema_hash(task))
    paid_in = budget.filter(currency=settings.AI_CURRENCY)
    return (None, None) if actor.organization_id is None else (paid_in.first(), prompt.first())


@dataclass
class _Question:
    """A question that a remote model may answer."""

    task: Task
    question: Any
    facts: Facts
    own: Answer[Any]
    actor: Actor
    budget: Budget
    prompt: Prompt

    def ask(self) -> Suggestion:
        self.call_id, self.started = uuid7(), time.monotonic()
        self.scrubbed: scrubbing.Scrubbed | None = None
        self.estimate, self.completion = Decimal(0), provider.Completion("", {"in": 0, "out": 0})
        asked = False
        try:
            answer, asked = self._answer()
        except _Stopped as stopped:
            refused = stopped.why in ("limit", "scrub_failed", "too_large", "over_budget", "breaker_open")
            self._record(Call.Outcome.REFUSED if refused else Call.Outcome.FALLBACK, stopped.why)
            return _suggestion(self.own, degraded=stopped.why, call_id=self.call_id)
        if asked:
            self._record(Call.Outcome.OK, "")
        return _suggestion(
            answer,
            provider=settings.AI_PROVIDER,
            model=settings.AI_MODEL,
            prompt=self.prompt.number,
            call_id=self.call_id if asked else None,
        )

    def _answer(self) -> tuple[Answer[Any], bool]:
        """The answer, and whether the model was asked (else it is cached). Raises _Stopped."""
        if self.actor.pk is not None:
            limit = throttling.Policy("ai", self.budget.calls_per_user_hour, 3600, f"user:{self.actor.pk}")
            try:
                throttling.require_remaining(limit)
            except Throttled:
                raise _Stopped("limit") from None
            throttling.count_one(limit)
        try:
            self.scrubbed = scrubbed = scrubbing.Scrubbed(self.question)
        except Exception as error:  # whatever went wrong, nothing may leave
            logger.error("ai_scrub_failed", task=self.task.name, error=type(error).__name__)
            raise _Stopped("scrub_failed") from None
        tokens = provider.estimated_tokens(self.prompt.template + provider.DATA_ONLY + scrubbed.text)
        if tokens > MOST_TOKENS_IN:
            raise _Stopped("too_large")
        key = f"ai:{self.task.name}:{self.prompt.number}:{settings.AI_MODEL}:{scrubbed.digest}"
        with suppress(RedisError):
            if (text := cache.get(key)) is not None:
                return self._checked(text), False
        estimate = cost_of({"in": tokens, "out": provider.MOST_TOKENS_OUT})
        if not budgets.take(self.budget, self.call_id, estimate):
            raise _Stopped("over_budget")
        self.estimate = estimate
        text = self._complete(scrubbed)
        answer = self._checked(text)
        with suppress(RedisError):
            cache.set(key, text, CACHED_SECONDS)
        return answer, True

    def _complete(self, scrubbed: scrubbing.Scrubbed) -> str:
        try:
            self.completion = provider.client().complete(self.task, self.prompt.template, scrubbed.outgoing)
        except RemoteUnavailable as error:
            reasons: dict[str, Why] = {"timeout": "timeout", "open": "breaker_open"}
            raise _Stopped(reasons.get(error.outcome, "unavailable")) from error
        except RemoteRefused as error:
            raise _Stopped("unavailable") from error
        except scrubbing.InvalidOutput as error:
            raise _Stopped("invalid_output") from error
        return scrubbed.incoming(self.completion.text)

    def _checked(self, text: str) -> Answer[Any]:
        assert self.scrubbed is not None
        try:
            return self.task.check(
                self.question, self.facts, scrubbing.parsed(self.task, text, self.scrubbed.ids)
            )
        except ValueError as error:
            raise _Stopped("invalid_output") from error

    def _record(self, outcome: str, why: str) -> None:
        """Have a task write the call; the request itself stores nothing."""
        CALLS.labels(self.task.name, outcome, why or "ok").inc()
        call = {
            "call_id": str(self.call_id),
            "task": self.task.name,
            "prompt": self.prompt.number,
            "provider": settings.AI_PROVIDER,
            "model": settings.AI_MODEL,
            "organization_id": str(self.budget.organization_id),
            "user_id": None if self.actor.pk is None else str(self.actor.pk),
            "input_hash": self.scrubbed.digest if self.scrubbed is not None else "",
            "output_hash": hashlib.sha256(self.completion.text.encode()).hexdigest(),
            "tokens_in": self.completion.tokens["in"],
            "tokens_out": self.completion.tokens["out"],
            "cost": str(self._cost(why)),
            "currency": settings.AI_CURRENCY,
            "latency_ms": int((time.monotonic() - self.started) * 1000),
            "outcome": outcome,
            "reason": why,
            "recorded_at": clock.now().isoformat(),
        }
        try:
            record_call.apply_async((call, str(self.estimate)), retry=False)
        except (OperationalError, RedisError):  # its estimate counts for an hour
            logger.error("ai_call_not_recorded", call_id=str(self.call_id))

    def _cost(self, why: str) -> Decimal:
        """What the tokens cost. Without figures of a call that may have been charged, the estimate."""
        if why == "timeout" or (why == "invalid_output" and not self.completion.text):
            return self.estimate
        return cost_of(self.completion.tokens)
