"""Topics, subscriptions and grants: made, aligned, compared, and refused where they lose events."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from google.iam.v1 import iam_policy_pb2
from google.protobuf import field_mask_pb2
from google.pubsub_v1 import types

from erp.embedded.pubsub.faults import control
from erp.outbox import endpoint, topology
from erp.tests.outbox_support import (
    Faults,
    call,
    command,
    count,
    drain,
    ended,
    in_order,
    insert,
    received,
    statuses,
)
from erp.tests.test_embedded_pubsub import emulator  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pubsub"), pytest.mark.slow]


def setup_pubsub(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit code and output."""
    code = 0
    try:
        call_command("setup_pubsub", "--json", *arguments)
    except SystemExit as ending:
        code = int(str(ending.code))
    return code, json.loads(capsys.readouterr().out)


def no_subscription(name: str) -> None:
    """Delete a subscription."""
    call(
        "Subscriber",
        "DeleteSubscription",
        types.DeleteSubscriptionRequest(subscription=endpoint.subscription_path(name)),
    )


def changed(paths: list[str], **fields: Any) -> None:
    """Change fields of the main subscription."""
    subscription = types.Subscription(name=endpoint.subscription_path("cotton-erp-events-sub"), **fields)
    call(
        "Subscriber",
        "UpdateSubscription",
        types.UpdateSubscriptionRequest(
            subscription=subscription, update_mask=field_mask_pb2.FieldMask(paths=paths)
        ),
    )


def test_the_topology_is_made_once(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.PUBSUB_PROJECT_ID += "-fresh"
    code, output = setup_pubsub(capsys, "--check")
    assert code == 1
    assert {line["found"] for line in output["drift"]} == {"missing"}
    assert setup_pubsub(capsys, "--dry-run") == (0, output)
    code, output = setup_pubsub(capsys)
    assert code == 0
    assert output["changed"] == 6, "two topics, two subscriptions, two grants"
    assert setup_pubsub(capsys) == (0, {"drift": [], "not_checked": [], "changed": 0})
    assert setup_pubsub(capsys, "--check")[0] == 0


def test_it_is_what_the_audit_asks_for(settings: Any) -> None:
    settings.PUBSUB_RETRY_MIN_SECONDS, settings.PUBSUB_RETRY_MAX_SECONDS = 10, 600
    settings.PUBSUB_PROJECT_ID += "-fresh"
    with topology.clients() as clients:
        for difference in topology.differences(clients):
            assert difference.repair is not None
            difference.repair()
        main, dead = (
            clients.find(clients.subscriber.get_subscription, {"subscription": wanted.name})
            for wanted in topology.subscriptions()
        )
        topic = clients.find(clients.publisher.get_topic, {"topic": topology.topics()[0].name})
    assert topic.message_retention_duration.days == 7
    assert main.enable_message_ordering
    assert main.ack_deadline_seconds == 60
    assert main.dead_letter_policy.max_delivery_attempts == 5
    assert main.dead_letter_policy.dead_letter_topic == endpoint.topic_path("cotton-erp-events-dlq")
    assert main.message_retention_duration.days == 7
    assert not main.expiration_policy.ttl
    assert main.retry_policy.minimum_backoff.seconds == 10
    assert main.retry_policy.maximum_backoff.seconds == 600
    assert not main.enable_exactly_once_delivery
    assert dead.topic == endpoint.topic_path("cotton-erp-events-dlq")
    assert dead.ack_deadline_seconds == 600
    assert dead.message_retention_duration.days == 31
    assert not dead.expiration_policy.ttl


def test_drift_is_reported_and_repaired(capsys: pytest.CaptureFixture[str]) -> None:
    changed(["ack_deadline_seconds", "dead_letter_policy"], ack_deadline_seconds=20)
    code, output = setup_pubsub(capsys, "--check")
    assert code == 1
    assert [(line["what"], line["found"]) for line in output["drift"]] == [
        ("ack_deadline_seconds", "20"),
        ("dead_letter_policy", "none"),
    ]
    code, output = setup_pubsub(capsys)
    assert (code, output["changed"]) == (0, 2)
    assert setup_pubsub(capsys, "--check")[0] == 0


def test_settings_fixed_at_creation_require_recreation(capsys: pytest.CaptureFixture[str]) -> None:
    no_subscription("cotton-erp-events-sub")
    wanted = topology.subscriptions()[0]
    wanted.enable_message_ordering = False
    call("Subscriber", "CreateSubscription", wanted)
    code, output = setup_pubsub(capsys)
    assert code == 1
    line = output["drift"][0]
    assert (line["what"], line["repairable"], line["repaired"]) == ("enable_message_ordering", False, False)
    assert all(line["repaired"] for line in output["drift"][1:]), "its grant went with the old one"


def no_topic(name: str) -> None:
    """Delete a topic."""
    call("Publisher", "DeleteTopic", types.DeleteTopicRequest(topic=endpoint.topic_path(name)))


def there(name: str) -> bool:
    """Whether the topic is there."""
    with topology.clients() as clients:
        return clients.find(clients.publisher.get_topic, {"topic": endpoint.topic_path(name)}) is not None


def test_no_topic_is_made_that_its_old_subscription_cannot_be_attached_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    no_topic("cotton-erp-events")
    no_topic("cotton-erp-events-dlq")
    no_subscription("cotton-erp-events-dlq-sub")
    code, output = setup_pubsub(capsys)
    assert (code, output["changed"]) == (1, 0)
    (line,) = (line for line in output["drift"] if line["remedy"])
    assert line["resource"] == endpoint.subscription_path("cotton-erp-events-sub")
    assert (line["found"], line["lossy"]) == ("_deleted-topic_", True)
    assert "delete it, run this command again" in line["remedy"]
    assert not there("cotton-erp-events"), "whoever published to it would publish to nobody"
    assert not there("cotton-erp-events-dlq")

    no_subscription("cotton-erp-events-sub")
    code, output = setup_pubsub(capsys)
    assert (code, output["changed"]) == (0, 6)
    assert setup_pubsub(capsys, "--check")[0] == 0


def test_a_topic_goes_again_when_its_subscription_is_refused(
    settings: Any, faults: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PUBSUB_PROJECT_ID += "-fresh"
    control(
        settings.PUBSUB_EMULATOR_HOST,
        {"rules": [{"kind": "refuse", "methods": ["CreateSubscription"], "code": "PERMISSION_DENIED"}]},
    )
    code, output = setup_pubsub(capsys)
    assert code == 1
    assert {line["resource"].rpartition("/")[2] for line in output["drift"] if "error" in line} == {
        "cotton-erp-events-sub",
        "cotton-erp-events-dlq-sub",
    }
    assert not there("cotton-erp-events")
    assert not there("cotton-erp-events-dlq")


def test_topics_are_followed_by_their_subscriptions_dead_letters_first(settings: Any) -> None:
    settings.PUBSUB_PROJECT_ID += "-fresh"
    with topology.clients() as clients:
        made = []
        for difference in topology.differences(clients):
            assert difference.repair is not None
            difference.repair()
            made.append(difference.resource.rpartition("/")[2])
    assert made[:4] == [
        "cotton-erp-events-dlq",
        "cotton-erp-events-dlq-sub",
        "cotton-erp-events",
        "cotton-erp-events-sub",
    ]


def test_a_missing_grant_is_added_and_others_stay(capsys: pytest.CaptureFixture[str]) -> None:
    resource = endpoint.topic_path("cotton-erp-events-dlq")
    other = "serviceAccount:relay@cotton-erp.iam.gserviceaccount.com"
    request = iam_policy_pb2.SetIamPolicyRequest(resource=resource)
    request.policy.bindings.add(role=topology.PUBLISH_ROLE, members=[other])
    with topology.clients() as clients:
        clients.call(clients.publisher.set_iam_policy, request)
    with pytest.raises(topology.Lossy, match=r"roles/pubsub.publisher"):
        topology.preflight(fresh=True)
    assert setup_pubsub(capsys)[1]["changed"] == 1
    with topology.clients() as clients:
        policy = clients.call(
            clients.publisher.get_iam_policy, iam_policy_pb2.GetIamPolicyRequest(resource=resource)
        )
    members = {member for binding in policy.bindings for member in binding.members}
    assert members == {other, topology.service_agent()}


def without_subscription() -> None:
    """The topic has no subscription."""
    no_subscription("cotton-erp-events-sub")


def without_dead_letter_subscription() -> None:
    """The dead-letter topic has no subscription."""
    no_subscription("cotton-erp-events-dlq-sub")


def with_expiry() -> None:
    """The subscription vanishes when idle."""
    changed(["expiration_policy"], expiration_policy={"ttl": {"seconds": 86_400}})


@pytest.mark.parametrize(
    "harm", [without_subscription, without_dead_letter_subscription, with_expiry], ids=lambda f: f.__name__
)
def test_a_relay_refuses_a_topology_that_can_lose_events(harm: Callable[[], None]) -> None:
    harm()
    topology._safe_until.clear()
    insert_one()
    with pytest.raises(topology.Lossy):
        drain()
    assert statuses() == {"pending": 1}


def insert_one() -> None:
    """One event that waits."""
    insert(uuid4())


def test_the_command_refuses_a_lossy_topology_unless_allowed() -> None:
    without_dead_letter_subscription()
    insert_one()
    code, out, err = ended(command("relay_outbox", "--once", "--json"))
    assert code == 1, err
    assert "cotton-erp-events-dlq" in json.loads(out)["error"]
    assert statuses() == {"pending": 1}
    code, out, err = ended(command("relay_outbox", "--once", "--json", "--allow-lossy"))
    assert code == 0, err
    assert statuses() == {"published": 1}


def test_a_server_that_does_not_answer_is_exit_code_4(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PUBSUB_EMULATOR_HOST = "127.0.0.1:1"
    from django.core.management.base import CommandError

    with pytest.raises(CommandError) as raised:
        call_command("setup_pubsub", "--check", "--json")
    assert raised.value.returncode == 4
    assert "UNAVAILABLE" in json.loads(capsys.readouterr().out)["error"]
    assert topology.reachable(timeout=1.0) == "UNAVAILABLE"


@pytest.mark.emulator
def test_the_official_emulator_serves_too_though_it_knows_no_grants(
    settings: Any, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PUBSUB_EMULATOR_HOST = request.getfixturevalue("emulator")
    settings.PUBSUB_DLQ_RETENTION_DAYS = 7  # the most that it takes
    settings.PUBSUB_RETRY_MIN_SECONDS, settings.PUBSUB_RETRY_MAX_SECONDS = 10, 600
    assert setup_pubsub(capsys)[0] == 0
    code, output = setup_pubsub(capsys, "--check")
    assert (code, output["drift"]) == (0, [])
    assert len(output["not_checked"]) == 2
    streams = [uuid4() for _ in range(5)]
    for _ in range(8):
        insert(*streams)
    assert drain().published == 40
    sequences = in_order(received(count(40)))
    assert [len(sequence) for sequence in sequences.values()] == [8] * 5


def test_reachable_reports_a_missing_topic(settings: Any) -> None:
    assert topology.reachable() == ""
    settings.PUBSUB_PROJECT_ID += "-fresh"
    assert topology.reachable() == "the topic is missing"
