"""Fault injection by a seeded plan, used by the fault harness.

A plan is JSON::

    {"seed": 7, "rules": [{"kind": "lose_answer", "methods": ["Publish"], "probability": 0.02}]}

It comes from ``--fault-plan`` or, while the server runs, by the unary method ``/erp.embedded.Faults/Set``,
whose request is the plan. It answers as ``/erp.embedded.Faults/Get`` does: the plan, and how often each rule
applied.
"""

import asyncio
import json
import os
import random
import socket
import stat
from contextlib import suppress
from typing import Annotated, Any, Literal

import grpc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from erp.embedded.pubsub.broker import RequestRefused


class Rule(BaseModel):
    """One kind of fault and when it happens.

    ``delay``: the request waits ``milliseconds``. ``refuse``: it is answered with ``code``. ``outage``: from
    that moment all requests the rule names are refused for ``milliseconds``. ``lose_answer``: it is executed
    but the client sees ``code``. ``drop``: its connection is cut before it is executed.

    ``containing`` narrows a rule to publish requests with a message whose data holds this text, as a topic with
    a schema refuses some messages and takes the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["delay", "refuse", "outage", "lose_answer", "drop"]
    methods: tuple[str, ...] = ()  # as in "Publish"; none means all
    containing: str = ""
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    milliseconds: Annotated[int, Field(ge=0)] = 0
    code: str = "UNAVAILABLE"
    limit: Annotated[int, Field(ge=1)] | None = None  # at most so many times

    @field_validator("code")
    @classmethod
    def _known(cls, code: str) -> str:
        if code == "OK" or code not in grpc.StatusCode.__members__:
            raise ValueError("not a gRPC status code of a failure")
        return code


class Plan(BaseModel):
    """The rules in force. The n-th decision of each rule depends only on the seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    rules: tuple[Rule, ...] = ()


class Faults:
    """The plan in force and its state."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.set(plan or Plan())

    def set(self, plan: Plan) -> None:
        """Replace the plan; reset counts and random numbers, end a running outage."""
        self.plan = plan
        self.active = bool(plan.rules)
        self._random = [random.Random(f"{plan.seed}:{number}") for number in range(len(plan.rules))]
        self._applied = [0] * len(plan.rules)
        self._outage_until = [0.0] * len(plan.rules)

    def state(self) -> dict[str, Any]:
        """The plan and how often each of its rules applied."""
        return {"plan": self.plan.model_dump(), "applied": self._applied}

    async def strike(self, method: str, context: Any, request: Any = None) -> Rule | None:
        """Do to a request what the plan says. Returns the rule by which its answer must be lost, if any.

        Raises ``Refused`` when the request must not be carried out.
        """
        lost = None
        for number, rule in enumerate(self.plan.rules):
            if rule.methods and method not in rule.methods:
                continue
            if rule.containing and not _contains(request, rule.containing.encode()):
                continue
            if not self._applies(number, rule):
                continue
            if rule.kind == "delay":
                await asyncio.sleep(rule.milliseconds / 1000)
            elif rule.kind == "lose_answer":
                lost = rule
            else:
                if rule.kind == "drop":
                    cut(context.peer())
                raise refusal(rule)
        return lost

    def _applies(self, number: int, rule: Rule) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._outage_until[number]:
            return True
        if self._random[number].random() >= rule.probability or self._applied[number] == rule.limit:
            return False
        self._applied[number] += 1
        if rule.kind == "outage":
            self._outage_until[number] = now + rule.milliseconds / 1000
        return True


def _contains(request: Any, text: bytes) -> bool:
    return any(text in message.data for message in getattr(request, "messages", ()))


def control(address: str, plan: dict[str, Any] | None = None) -> dict[str, Any]:
    """Set the plan of a server (``host:port``), or only read it; return ``Faults.state``.

    Raises ``grpc.RpcError``: INVALID_ARGUMENT for an invalid plan.
    """
    method = "/erp.embedded.Faults/Get" if plan is None else "/erp.embedded.Faults/Set"
    with grpc.insecure_channel(address) as channel:
        answer = channel.unary_unary(method)(json.dumps(plan).encode(), timeout=10)
    state: dict[str, Any] = json.loads(answer)
    return state


def refusal(rule: Rule) -> RequestRefused:
    """The answer a client sees by this rule."""
    return RequestRefused(grpc.StatusCode[rule.code], f"fault on purpose: {rule.kind}")


def cut(peer: str) -> None:
    """Cut the TCP connection with that peer (as gRPC writes it: ``ipv4:127.0.0.1:50112``).

    gRPC offers no way to do this, but the socket is among our own descriptors.
    """
    port = int(peer.rpartition(":")[2])
    for name in os.listdir("/dev/fd"):
        # The listing's own descriptor is gone by now. What is no socket isn't copied: socket() would refuse
        # the copy and leave it open.
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as found:
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.getpeername()[1] == port:
                found.shutdown(socket.SHUT_RDWR)
