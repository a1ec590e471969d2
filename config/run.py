"""``make run``: the whole product on one machine. Runs until Ctrl-C; the data is kept on disk."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from erp import commands
from erp.embedded import state
from erp.embedded.process import CannotStart, free_port
from erp.embedded.supervisor import PROJECT, Process, Stack

GUNICORN = [
    "-m",
    "gunicorn",
    "config.wsgi",
    "--config=python:config.web_server",
    "--workers=2",
    "--access-logfile=/dev/null",
]


def processes(port: int) -> list[Process]:
    """The app's processes: web on ``port``, worker, relay, mail, beat, consumer."""
    python = sys.executable

    def process(name: str, *argv: str, ready: Callable[[], bool] | None = None) -> Process:
        return Process(name=name, argv=[python, *argv], ready=ready, cwd=PROJECT)

    return [
        process("web", *GUNICORN, f"--bind=127.0.0.1:{port}", ready=lambda: is_ready(port)),
        process("worker", "celery_worker.py", "worker"),
        process("relay", "celery_worker.py", "relay"),
        process("mail", "celery_worker.py", "mail"),
        process("beat", "celery_worker.py", "beat"),
        process("consumer", "manage.py", "consume_events"),
    ]


def is_ready(port: int) -> bool:
    """Return whether the web process reports that it can execute a write."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:  # noqa: S310 - own server
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def manage(stack: Stack, *arguments: str) -> str:
    """Run one management command against the stack; return its output. Raises CannotStart if it fails.

    For a dependency that is down, or a database that other migrations made, the message is the command's own line.
    """
    env = os.environ | stack.urls | {"ERP_DATA_DIR": str(stack.data_dir)}
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == commands.DOWN:
        raise CannotStart(done.stderr.splitlines()[-1].removeprefix("CommandError: "))
    if done.returncode:
        raise CannotStart(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def prepare(stack: Stack, *options: str) -> None:
    """Bring database and topology up to date and load the demo's people; ``options`` are those of ``seed_demo``."""
    if os.environ.get("PUBSUB_EMULATOR_HOST"):
        # The official emulator keeps messages for a week at most.
        os.environ.setdefault("PUBSUB_DLQ_RETENTION_DAYS", "7")
    manage(stack, "migrate", "--no-input")
    manage(stack, "setup_pubsub")
    manage(stack, "seed_demo", *options)


def choose_port() -> int:
    """``PORT``, else 8000 where it is free, else any free port."""
    import socket

    if wanted := os.environ.get("PORT"):
        return int(wanted)
    with socket.socket() as probe:
        return 8000 if probe.connect_ex(("127.0.0.1", 8000)) else free_port()


def report(line: str) -> None:
    """One line to the person at the terminal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(data_dir: Path | None = None) -> int:
    """Start the stack, print its URLs, and wait."""
    from config.business import FIRMS
    from config.management.commands.seed_demo import PASSWORD, STAFF

    try:
        with Stack(data_dir or state.data_dir(), echo=report) as stack:
            port = choose_port()
            base = f"http://127.0.0.1:{port}"
            stack.set_public_url(base)
            report("Loading demo data …")
            prepare(stack, "--business")
            factors = json.loads(manage(stack, "seed_demo", "--json"))["second_factors"]
            stack.run_processes(processes(port))
            report("")
            report(f"Staff portal     {base}/admin/")
            report(f"API              {base}/api/v1   documented at {base}/api/docs and {base}/api/redoc")
            report(f"Health           {base}/readyz")
            report(f"Logs             {stack.data_dir / 'log'}")
            report("")
            report(f"Demo logins, all with the password: {PASSWORD}")
            people = [
                (email, name, ", ".join(roles), factors.get(email)) for email, (name, roles) in STAFF.items()
            ]
            people += [(firm.email, firm.name, ", ".join(firm.roles), None) for firm in FIRMS]
            for line in commands.table(("user", "name", "roles", "authenticator"), people):
                report(line)
            report(
                "Staff also enter a code: `manage.py demo_code EMAIL` prints it, or add the secret to an app."
            )
            report("")
            report("Ctrl-C stops the stack and keeps the data.")
            stack.wait()
    except CannotStart as error:
        report(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        report("Stopped.")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    sys.exit(main())
