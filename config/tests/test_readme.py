"""Commands that the README and the documentation name exist, and every benchmark runs."""

import importlib.util
import re
import shlex
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError

import celery_worker
from apps.availability.models import Availability
from erp.audit.sources import PROJECT
from erp.testing import environment

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
# The smallest run of each benchmark; those whose harness starts servers of its own show their options.
BENCHMARKS = {
    "benchmarks.faults": "--help",
    "benchmarks.market": "--help",
    "benchmarks.matching": "--offers 60 --others 50,100 --scores 200 --wants 2 --batch-offers 200 --edits 2",
    "benchmarks.mutants": "--help",
    "benchmarks.pii_corpus": "--lines 200",
    "benchmarks.relay": "--help",
    "benchmarks.sign_in_timing": "--tries 1 --only login",
    "benchmarks.api": "--rounds 5 --seconds 1",
    "benchmarks.partners": "--partners 60 --holds 8 --operations 20",
    "benchmarks.trades": "--settlements 3 --rounds 3 --verify 18 --table 100",
    "benchmarks.negotiations": "--negotiations 9",
    "benchmarks.risk": "--facts 20 --entries 50 --assessments 8",
    "benchmarks.offers": "--offers 60 --reservations 8 --due 20",
}


def texts() -> dict[str, str]:
    return {str(page.relative_to(PROJECT)): page.read_text() for page in PAGES}


def commands() -> list[tuple[str, str]]:
    """Every call of ``manage.py`` that a page shows: page, arguments."""
    found = []
    for page, text in texts().items():
        for call in re.findall(r"manage\.py ([a-z_]+[^`\n#|…]*)", text):
            found.append((page, call.strip()))
    return found


def targets() -> set[str]:
    """Every target of ``make`` that a page names, as code or in a block of code."""
    return {
        target
        for text in texts().values()
        for call in re.findall(r"(?:`|^)make ((?:[a-z-]+ ?)+)", text, re.MULTILINE)
        for target in call.split("  ")[0].split()
    }


def modules() -> set[str]:
    found: set[str] = set()
    for text in texts().values():
        found |= set(re.findall(r"python -m ([a-z_.]*[a-z_])", text))
        found |= set(re.findall(r"`(benchmarks\.[a-z_]+)`", text))
    return found


def test_pages_name_commands() -> None:
    assert len(commands()) > 40
    assert {"demo", "test", "run", "faults-small", "bench-relay"} <= targets()
    assert modules() >= {"benchmarks.api", "benchmarks.faults"}


@pytest.mark.parametrize(("page", "call"), commands())
def test_a_command_of_a_page_has_the_arguments_that_it_shows(page: str, call: str) -> None:
    name, *arguments = shlex.split(call.rstrip("\\").split(" [")[0])
    assert name in get_commands(), page
    optional = re.findall(r"\[(--[a-z-]+)", call) + re.findall(r"\|(--[a-z-]+)", call)
    command: Any = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    options = {option for action in parser._actions for option in action.option_strings}
    assert set(optional) <= options
    if not arguments and "choices" in str(parser._actions) and name in ("outbox", "dlq", "events"):
        return  # the page speaks of the command as a whole
    try:
        parser.parse_args(arguments)
    except CommandError as refused:
        pytest.fail(f"{page}: manage.py {call}: {refused}")


def test_every_make_target_of_a_page_exists() -> None:
    done = subprocess.run(
        ["make", "-n", *sorted(targets())],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_every_process_of_a_page_exists() -> None:
    named = {name for text in texts().values() for name in re.findall(r"celery_worker\.py ([a-z]+)", text)}
    assert named
    assert named <= celery_worker.COMMANDS.keys()


def test_every_module_that_a_page_runs_exists_and_every_benchmark_has_a_run_here() -> None:
    for module in modules():
        assert importlib.util.find_spec(module), module
    folder = PROJECT / "benchmarks"
    found = {f"benchmarks.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    found |= {f"benchmarks.{path.parent.name}" for path in folder.glob("*/__main__.py")}
    assert found == BENCHMARKS.keys()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("module", sorted(BENCHMARKS))
def test_a_benchmark_runs(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *BENCHMARKS[module].split()],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_first_offer_of_the_readme_works_as_it_stands(live_server: Any) -> None:
    call_command("seed_demo", stdout=StringIO())
    (script,) = re.findall(r"```sh\n(.*?)```", (PROJECT / "README.md").read_text(), re.S)
    assert "http://127.0.0.1:8000" in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8000", live_server.url)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    offer = Availability.objects.get()
    assert (done.stdout.strip(), offer.status) == (offer.number, "PENDING_APPROVAL"), done.stderr


def test_every_link_of_a_page_leads_to_a_file() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)
