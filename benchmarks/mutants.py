"""Mutation tests of the kernel: does a test fail when a line of it is broken?

    make mutants [SAMPLE=300]      or  python -m benchmarks.mutants [--sample N] [--seed S] [--file PATH] [--redo]

cosmic-ray's operators make the mutants. Each runs in a process forked from one that has loaded the libraries but none
of our modules, on a database that stays; it ends with the first test that fails. Results are appended to
``.erp/mutants.jsonl``: a run continues where the last one stopped.
"""

import argparse
import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / ".erp" / "mutants.jsonl"
TIMEOUT = 150.0  # most seconds of one mutant, or twice what its tests take without one
# File → the tests that must find a mutant in it, the quickest first.
TESTS = {
    "erp/access.py": ["config/tests/test_access.py", "apps/accounts/tests/test_rights.py"],
    "erp/approvals.py": ["config/tests/test_approvals.py", "apps/approvals/tests/test_approvals.py"],
    "erp/events.py": ["erp/tests/test_events.py", "apps/integrations/tests/test_feed.py"],
    "erp/services.py": [
        "config/tests/test_services.py",
        "config/tests/test_dry_run.py",
        "config/tests/test_trail.py",
        "config/tests/test_audit.py",
    ],
    "erp/idempotency/once.py": ["config/tests/test_idempotency.py", "config/tests/test_dry_run.py"],
    "erp/idempotency/tasks.py": ["config/tests/test_idempotency.py"],
    "erp/outbox/flush.py": ["config/tests/test_services.py", "erp/tests/test_relay.py"],
    "erp/outbox/batches.py": ["erp/tests/test_relay.py"],
    "erp/outbox/relay.py": ["erp/tests/test_relay.py"],
    "erp/outbox/subscriber.py": ["erp/tests/test_subscriber.py"],
    "apps/approvals/services/__init__.py": [
        "apps/approvals/tests/test_approvals.py",
        "apps/approvals/tests/test_rights.py",
        "apps/approvals/tests/test_notices.py",
        "config/tests/test_approvals.py",
    ],
    "apps/approvals/services/drafts.py": [
        "apps/approvals/tests/test_drafts.py",
        "apps/commodities/tests/test_drafts.py",
        "apps/commodities/tests/test_units.py",
        "apps/commodities/tests/test_schedules.py",
    ],
}
# Of each comparison its neighbour and its opposite; of the others all that change more than a type annotation.
COMPARISONS = {
    "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt",
    "Is_IsNot", "IsNot_Is", "In_NotIn", "NotIn_In",
}  # fmt: skip
ARITHMETIC = {
    "Add_Sub",
    "Sub_Add",
    "Mul_FloorDiv",
    "FloorDiv_Mul",
    "Mod_Mul",
    "BitAnd_BitOr",
    "BitXor_BitAnd",
}
OTHERS = {
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer", "RemoveDecorator",
    "ZeroIterationForLoop", "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub",
}  # fmt: skip


class Mutant(NamedTuple):
    """One change of one file: the operator, the how many-th place of it, the line, and the text before and after."""

    file: str
    operator: str
    occurrence: int
    line: int
    before: str
    after: str
    source: str

    @property
    def key(self) -> str:
        """Digest of the mutated file: a result doesn't outlive a change of the file."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]


def mutants_of(file: str) -> list[Mutant]:
    """All mutants of a file that change more than annotations and docstrings."""
    from cosmic_ray.ast import Visitor, ast_nodes, get_ast
    from cosmic_ray.operators.provider import OperatorProvider

    class Mutation(Visitor):  # type: ignore[misc]
        def __init__(self, operator: Any, wanted: int) -> None:
            self.operator, self.left, self.line = operator, wanted, 0

        def visit(self, node: Any) -> Any:
            for place, ((line, _), _) in enumerate(self.operator.mutation_positions(node)):
                if self.left == 0:
                    self.left, self.line = -1, line
                    return self.operator.mutate(node, place)
                self.left -= 1
            return node

    text = (PROJECT / file).read_text()
    original, lines, seen, found = stripped(text), text.splitlines(), set(), []
    provider = OperatorProvider()
    for name in sorted(set(provider) & chosen()):
        operator = provider[name]()
        places = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(get_ast(text)))
        for occurrence in range(places):
            mutation = Mutation(operator, occurrence)
            # An operator that doesn't know the syntax in place, or leaves none, makes no mutant.
            with suppress(SyntaxError, AttributeError):
                source = mutation.walk(get_ast(text)).get_code()
                tree = stripped(source)
                if tree == original or tree in seen:
                    continue
                seen.add(tree)
                changed = source.splitlines()
                at = next(
                    (n for n, pair in enumerate(zip(lines, changed, strict=False)) if len(set(pair)) > 1), 0
                )
                found.append(
                    Mutant(file, name, occurrence, at + 1, lines[at].strip(), changed[at].strip(), source)
                )
    return found


def chosen() -> set[str]:
    """Names of the operators in use."""
    comparisons = {f"ReplaceComparisonOperator_{name}" for name in COMPARISONS}
    return comparisons | {f"ReplaceBinaryOperator_{name}" for name in ARITHMETIC} | OTHERS


def stripped(source: str) -> str:
    """The syntax tree without annotations and docstrings, whose mutants no test can find."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


class Overlay(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module from a text in place of its file."""

    def __init__(self, file: str, source: str) -> None:
        self.path, self.source = PROJECT / file, source
        self.name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.package = file.endswith("__init__.py")

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """The spec of the module; None for others."""
        if fullname != self.name:
            return None
        folders = [str(self.path.parent)] if self.package else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=folders
        )

    def get_filename(self, fullname: str) -> str:
        """The module's own file, for tracebacks."""
        return str(self.path)

    def get_data(self, path: Any) -> bytes:
        """The mutated text."""
        return self.source.encode()

    def path_stats(self, path: Any) -> Any:
        """None is cached."""
        raise OSError


def preload() -> None:
    """Import what tests need of the libraries, so that forked processes needn't."""
    listing = (
        "import django, sys; django.setup(); import pytest_django, hypothesis, factory, httpx;"
        "from django.urls import get_resolver; get_resolver().url_patterns; print('\\n'.join(sys.modules))"
    )
    names = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=PROJECT
    ).stdout.split()
    for name in names:
        if name.partition(".")[0] not in ("erp", "apps", "config", "__main__", "django", "rest_framework"):
            with suppress(Exception):
                importlib.import_module(name)


def run_tests(
    mutant: Mutant | None, tests: list[str], *, limit: float = 4 * TIMEOUT, make_database: bool = False
) -> tuple[str, float]:
    """Run the tests in a forked process: killed, survived or timeout, and the seconds that it took."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(os.open(RESULTS.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        code = 1
        try:
            if mutant is not None:
                sys.meta_path.insert(0, Overlay(mutant.file, mutant.source))
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "--reuse-db", "--no-header"]
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            made = ["--create-db"] if make_database else []
            code = int(pytest.main([*options, *made, *tests], plugins=[EmptyDatabase()]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    while time.monotonic() - started < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            survived = os.waitstatus_to_exitcode(status) == 0
            return "survived" if survived else "killed", time.monotonic() - started
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout", time.monotonic() - started


class EmptyDatabase:
    """A pytest plugin that removes what the mutant before has left."""

    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> None:
        """Before the first test that asks for the database."""
        if fixturedef.argname == "_django_db_helper" and not getattr(self, "done", False):
            from erp.testing import delete_rows

            self.done = True
            with request.getfixturevalue("django_db_blocker").unblock():
                delete_rows()


def main() -> int:
    """Run the mutants that have no result yet and print the scores; 1 where the unbroken code fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=0, help="mutants of all files together; 0: every one")
    parser.add_argument("--seed", type=int, default=1, help="which ones a sample takes")
    parser.add_argument("--file", action="append", choices=sorted(TESTS), help="only this file; repeatable")
    parser.add_argument("--redo", action="store_true", help="run survivors of earlier runs again")
    options = parser.parse_args()
    files = options.file or list(TESTS)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.test_settings"
    found = {file: mutants_of(file) for file in files}
    total = sum(map(len, found.values()))
    known = results()
    RESULTS.parent.mkdir(exist_ok=True)
    with stack():
        preload()
        for file, mutants in found.items():
            share = (
                len(mutants) if not options.sample else max(1, round(options.sample * len(mutants) / total))
            )
            picked = random.Random(f"{options.seed}{file}").sample(mutants, min(share, len(mutants)))
            due = [
                m
                for m in picked
                if m.key not in known or (options.redo and known[m.key]["outcome"] == "survived")
            ]
            if not due:
                continue
            outcome, seconds = run_tests(None, TESTS[file], make_database=True)
            if outcome != "survived":
                print(f"{file}: its tests fail without a mutant; see {RESULTS.with_suffix('.log')}")
                return 1
            print(f"{file}: {len(due)} of {len(mutants)} mutants, its tests take {seconds:.0f} s", flush=True)
            limit = max(TIMEOUT, 2 * seconds)
            for mutant in due:
                outcome, seconds = run_tests(mutant, TESTS[file], limit=limit)
                line = {
                    **mutant._asdict(),
                    "key": mutant.key,
                    "outcome": outcome,
                    "seconds": round(seconds, 1),
                }
                del line["source"]
                known[mutant.key] = line
                with RESULTS.open("a") as log:
                    log.write(json.dumps(line) + "\n")
                if outcome == "survived":
                    print(
                        f"  {file}:{mutant.line} {mutant.operator}\n    - {mutant.before}\n    + {mutant.after}",
                        flush=True,
                    )
    print(table(found, known))
    return 0


def stack() -> Any:
    """The servers for all mutants, started by a process of its own: its modules must not be loaded here."""
    from contextlib import contextmanager

    program = (
        "import json, sys; from erp.embedded.testing import servers\n"
        "import os\n"
        "with servers() as urls:\n"
        " print(json.dumps({**urls, 'ERP_DATA_DIR': os.environ['ERP_DATA_DIR']}), flush=True); sys.stdin.read()"
    )

    @contextmanager
    def running() -> Iterator[None]:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        os.environ.update(json.loads(process.stdout.readline()))
        try:
            yield
        finally:
            process.stdin.close()
            process.wait()

    return running()


def results() -> dict[str, dict[str, Any]]:
    """Results of earlier runs; the last one of a mutant counts."""
    if not RESULTS.exists():
        return {}
    return {line["key"]: line for line in map(json.loads, RESULTS.read_text().splitlines())}


def table(found: dict[str, list[Mutant]], known: dict[str, dict[str, Any]]) -> str:
    """Scores per file."""
    lines = ["", "| file | mutants | run | found | survived | score |", "|---|---:|---:|---:|---:|---:|"]
    for file, mutants in found.items():
        outcomes = [known[m.key]["outcome"] for m in mutants if m.key in known]
        if outcomes:
            survived = outcomes.count("survived")
            score = 100 * (1 - survived / len(outcomes))
            lines.append(
                f"| {file} | {len(mutants)} | {len(outcomes)} | {len(outcomes) - survived} | {survived} "
                f"| {score:.0f} % |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
