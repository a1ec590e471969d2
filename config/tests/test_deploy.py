"""What is deployed beside the product agrees with it: topology, grants, alerts, dashboard, runbooks."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from django.conf import settings as configured
from django.core.management import get_commands, load_command_class
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from config.environment import Environment
from erp import metrics
from erp.audit.sources import PROJECT
from erp.clients.breakers import STATE
from erp.outbox import topology

DEPLOY = PROJECT / "deploy"
RUNBOOKS = PROJECT / "docs" / "runbooks"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
RULE_TESTS = [DEPLOY / "prometheus" / name for name in ("alerts_test.yaml", "alerts_week_test.yaml")]
PARTS = ("Symptoms", "Effect", "Diagnosis", "Remedy", "Resolved when", "Notify")


Block = dict[str, Any]
_TOKEN = re.compile(r'\s*(?:#[^\n]*|(\w+)((?:\s+"[^"]*")*)\s*\{\s*\n|(\w+)\s*=\s*|(\}))')


def blocks(text: str) -> Block:
    """The blocks of formatted HCL: labels joined with dots; values as text, literals as what they mean."""
    root: Block = {}
    stack = [root]
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        kind, labels, name, close = match.groups()
        if kind:
            inner: Block = {}
            stack[-1][".".join([kind, *re.findall(r'"([^"]*)"', labels)])] = inner
            stack.append(inner)
        elif close:
            stack.pop()
        elif name:
            end = _end(text, at)
            stack[-1][name] = _literal(text[at:end].strip())
            at = end
    assert not text[at:].strip(), text[at:][:80]
    assert stack == [root]
    return root


def _end(text: str, at: int) -> int:
    """Where a value ends: at the line's end outside of brackets."""
    depth = 0
    while depth or text[at] != "\n":
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[at], 0)
        at += 1
    return at


def _literal(text: str) -> Any:
    if text in ("true", "false") or re.fullmatch(r"\d+|\"[^\"$]*\"", text):
        return json.loads(text)
    return text


@pytest.fixture(scope="module")
def terraform() -> Block:
    found: Block = {}
    for file in sorted((DEPLOY / "terraform").glob("*.tf")):
        found |= blocks(file.read_text())
    return found


def resource(terraform: Block, kind: str, name: str) -> Block:
    found: Block = terraform[f"resource.google_{kind}.{name}"]
    return found


def seconds(duration: Any) -> str:
    return f"{duration.total_seconds():.0f}s"


@pytest.fixture(autouse=True)
def _as_in_production(settings: Any) -> None:
    """The defaults of the environment, without the settings of the test servers."""
    for name in ("max_delivery_attempts", "retry_min_seconds", "retry_max_seconds", "dlq_retention_days"):
        default = Environment.model_fields[f"pubsub_{name}"].default
        setattr(settings, f"PUBSUB_{name.upper()}", default)
    settings.PUBSUB_REGION = "asia-south1"
    settings.PUBSUB_PROJECT_NUMBER = "12"


def test_terraform_makes_the_topics_that_the_product_asks_for(terraform: Block) -> None:
    for name, wanted in zip(("events", "dead_letters"), topology.topics(), strict=True):
        topic = resource(terraform, "pubsub_topic", name)
        assert topic["name"] == wanted.name.rsplit("/", 1)[-1]
        assert topic["message_storage_policy"] == {"allowed_persistence_regions": "[var.region]"}
        assert list(wanted.message_storage_policy.allowed_persistence_regions) == [
            terraform["variable.region"]["default"]
        ]
        retention = wanted.message_retention_duration
        assert topic.get("message_retention_duration") == (seconds(retention) if retention else None)
        assert topic["lifecycle"] == {"prevent_destroy": True}


def test_terraform_makes_the_subscriptions_that_the_product_asks_for(terraform: Block) -> None:
    for name, wanted in zip(("events", "dead_letters"), topology.subscriptions(), strict=True):
        made = dict(resource(terraform, "pubsub_subscription", name))
        assert made.pop("lifecycle") == {"prevent_destroy": True}
        assert made.pop("topic") == f"google_pubsub_topic.{name}.id"
        expected = {
            "name": wanted.name.rsplit("/", 1)[-1],
            "ack_deadline_seconds": wanted.ack_deadline_seconds,
            "message_retention_duration": seconds(wanted.message_retention_duration),
        }
        assert "ttl" not in wanted.expiration_policy
        expected["expiration_policy"] = {"ttl": ""}  # Terraform's way to say never
        if wanted.enable_message_ordering:
            expected["enable_message_ordering"] = True
            expected["enable_exactly_once_delivery"] = wanted.enable_exactly_once_delivery
        if wanted.dead_letter_policy:
            expected["dead_letter_policy"] = {
                "dead_letter_topic": "google_pubsub_topic.dead_letters.id",
                "max_delivery_attempts": wanted.dead_letter_policy.max_delivery_attempts,
            }
        if wanted.retry_policy:
            expected["retry_policy"] = {
                "minimum_backoff": seconds(wanted.retry_policy.minimum_backoff),
                "maximum_backoff": seconds(wanted.retry_policy.maximum_backoff),
            }
        assert made == expected


def test_the_product_asks_for_the_values_of_operations() -> None:
    main, dead = topology.subscriptions()
    assert [s.name.rsplit("/", 1)[-1] for s in (*topology.topics(), main, dead)] == [
        "cotton-erp-events", "cotton-erp-events-dlq", "cotton-erp-events-sub", "cotton-erp-events-dlq-sub",
    ]  # fmt: skip
    assert main.ack_deadline_seconds == 60
    assert main.dead_letter_policy.max_delivery_attempts == 5
    assert seconds(main.retry_policy.minimum_backoff) == "10s"
    assert seconds(main.retry_policy.maximum_backoff) == "600s"
    assert dead.ack_deadline_seconds == 600
    assert dead.message_retention_duration.days == 31


def test_terraform_grants_what_each_needs_and_no_more(terraform: Block) -> None:
    granted = set()
    for key, block in terraform.items():
        kind, _, name = key.removeprefix("resource.google_pubsub_").partition("_iam_member.")
        if not name:
            continue
        on = block[kind]
        roles = [block["role"]]
        where = [re.sub(r"^google_pubsub_|\.id$", "", on)]
        who = block["member"]
        if on == f"local.{kind}s[each.value.on]":
            where = [f"{kind}.events", f"{kind}.dead_letters"]
            who = {"local.preflight_grants": "preflight", "local.deploy_grants": "deploy"}[block["for_each"]]
            if block["role"] == "each.value.role":
                roles = ["roles/pubsub.viewer", "getIamPolicy"]
        elif who == "each.value":
            who = block["for_each"].removeprefix("var.").removesuffix("_members")
        granted |= set(product([who], roles, where))
    everything = [
        f"{kind}.{name}" for kind in ("topic", "subscription") for name in ("events", "dead_letters")
    ]
    publisher, subscriber = topology.PUBLISH_ROLE, topology.SUBSCRIBE_ROLE
    assert granted == {
        ("local.pubsub_agent", publisher, "topic.dead_letters"),
        ("local.pubsub_agent", subscriber, "subscription.events"),
        ("relay", publisher, "topic.events"),
        ("relay", publisher, "topic.dead_letters"),
        ("consumer", subscriber, "subscription.events"),
        ("operator", publisher, "topic.events"),
        ("operator", subscriber, "subscription.dead_letters"),
        *product(["preflight"], ["roles/pubsub.viewer", "getIamPolicy"], everything),
        *product(["deploy"], ["roles/pubsub.admin"], everything),
    }
    role = resource(terraform, "project_iam_custom_role", "preflight")
    assert json.loads(role["permissions"]) == [
        "pubsub.subscriptions.getIamPolicy",
        "pubsub.topics.getIamPolicy",
    ]


def test_the_agent_is_the_one_that_the_product_expects() -> None:
    agent = re.search(r'pubsub_agent = "([^"]*)"', (DEPLOY / "terraform" / "main.tf").read_text())
    assert agent is not None
    assert agent[1].replace("${data.google_project.this.number}", "12") == topology.service_agent()


def test_terraform_files_are_formatted() -> None:
    if (program := shutil.which("terraform")) is None:
        pytest.skip("Terraform isn't installed")
    done = subprocess.run(  # noqa: S603
        [program, "fmt", "-check", "-diff", "-recursive", str(DEPLOY / "terraform")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_policy_of_cloud_monitoring_names_a_runbook() -> None:
    text = (DEPLOY / "terraform" / "alerts.tf").read_text()
    named = set(re.findall(r'runbook\s*= "([\w-]+)"', text)) | set(re.findall(r"runbooks/([\w-]+)\.md", text))
    assert named
    for name in named:
        assert (RUNBOOKS / f"{name}.md").is_file(), name


def metrics_named(expression: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\berp_\w+", expression)}


def labels_named(expression: str) -> Iterator[tuple[str, str]]:
    """Metric and label of each selector."""
    for metric, selector in re.findall(r"\b(erp_\w+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*[=!]", selector):
            yield metric, label


@pytest.fixture
def product_metrics(db: None, settings: Any, tmp_path: Path) -> dict[str, set[str]]:
    """Every metric that the product reports, with its labels, when each has a value."""
    from erp import heartbeat

    settings.HEARTBEAT_DIR = str(tmp_path)
    heartbeat.touch("beat")
    metrics.remember(metrics.DEAD_LETTERS, 0)
    metrics.remember(metrics.TOPOLOGY, 0)
    metrics.remember(metrics.TRAIL, 0)
    found: dict[str, set[str]] = {}
    text = Client().get("/metrics").content.decode()
    for family in text_string_to_metric_families(text):
        if not family.name.endswith("_created"):  # only the library tells those, and only in one process
            found[f"{family.name}_total" if family.type == "counter" else family.name] = set()
    for collector in [STATE, *vars(metrics).values(), *_declared()]:
        names = getattr(collector, "_labelnames", None)
        if names is not None:
            name = collector._name + ("_total" if collector._type == "counter" else "")
            found[name] = set(names)
    return found


def _declared() -> list[Any]:
    from erp import clients
    from erp.logs import masking
    from erp.outbox import metrics as outbox

    return [value for module in (outbox, masking, clients) for value in vars(module).values()]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_alerts_and_dashboard_use_only_reported_metrics(product_metrics: dict[str, set[str]]) -> None:
    for expression in expressions():
        for name in metrics_named(expression):
            assert name in product_metrics, expression
        for name, label in labels_named(expression):
            assert label in product_metrics[re.sub(r"_(bucket|sum|count)$", "", name)] | {"le"}, expression


def test_the_dashboard_shows_every_figure_of_the_product(product_metrics: dict[str, set[str]]) -> None:
    shown = set().union(
        *(metrics_named(t["expr"]) for p in dashboard()["panels"] for t in p.get("targets", ()))
    )
    assert {name for name in product_metrics if name.startswith("erp_")} == shown


def test_the_dashboard_has_the_shape_that_grafana_loads() -> None:
    found = dashboard()
    assert found["uid"] == "cotton-erp"
    assert found["schemaVersion"] >= 38
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = set(
            product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
            assert panel["targets"]


def test_every_alert_has_a_level_a_summary_and_a_runbook() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["level"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert (PROJECT / rule["annotations"]["runbook"]).is_file(), rule["alert"]


def test_every_alert_fires_and_stays_silent_as_expected() -> None:
    fired, quiet = set(), set()
    for file in RULE_TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                (fired if case.get("exp_alerts") else quiet).add(case["alertname"])
    assert fired == quiet == {rule["alert"] for rule in RULES}


@pytest.mark.slow
def test_the_alerts_fire_when_they_must() -> None:
    if (program := shutil.which("promtool")) is None:
        pytest.skip("promtool (Debian's prometheus) isn't installed")
    done = subprocess.run(  # noqa: S603
        [program, "test", "rules", *map(str, RULE_TESTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def commands() -> Iterator[tuple[str, list[str]]]:
    """Runbook and arguments of every command in a block of shell."""
    for file in sorted(RUNBOOKS.glob("*.md")):
        for block in re.findall(r"```sh\n(.*?)```", file.read_text(), re.DOTALL):
            for line in block.strip().splitlines():
                name, program, *arguments = shlex.split(line)
                assert (name, program) == ("python", "manage.py"), (file.name, line)
                yield file.stem, [re.sub(r"EVENT_ID|AGGREGATE_ID", str(UUID(int=1)), a) for a in arguments]


def test_every_runbook_says_what_it_must() -> None:
    named = {Path(rule["annotations"]["runbook"]).stem for rule in RULES}
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == named | {"migration-rollback"}
    for file in RUNBOOKS.glob("*.md"):
        text = file.read_text()
        places = [text.find(f"**{part}") for part in PARTS]
        assert -1 not in places, file.name
        assert places == sorted(places), file.name
        alerts = {rule["alert"] for rule in RULES if rule["annotations"]["runbook"].endswith(f"/{file.name}")}
        assert all(alert in text for alert in alerts), file.name
        for other in re.findall(r"\b(?:see|go to|it follows) ([a-z]+-[a-z-]+)", text):
            assert (RUNBOOKS / f"{other}.md").is_file(), (file.name, other)


@pytest.mark.parametrize(("runbook", "arguments"), list(commands()))
def test_every_command_of_a_runbook_is_one_of_the_products(runbook: str, arguments: list[str]) -> None:
    name, *rest = arguments
    app = get_commands()[name]
    command = app if not isinstance(app, str) else load_command_class(app, name)
    command.create_parser("manage.py", name).parse_args(rest)
    if name == "run_task":
        assert rest[0] in configured.CELERY_BEAT_SCHEDULE
    types = [rest[at + 1] for at, word in enumerate(rest) if word == "--type"]
    assert all((PROJECT / "docs" / "events" / f"{kind}.v1.schema.json").is_file() for kind in types)


def test_the_periodic_metrics_are_updated_often_enough() -> None:
    tasks = {entry["task"] for entry in configured.CELERY_BEAT_SCHEDULE.values()}
    assert {"erp.tasks.count_dead_letters", "erp.tasks.check_topology"} <= tasks
