"""Settings of the test suite: real servers, a space of its own per parallel worker, cheaper hashes."""

import logging
import os

from psycopg.conninfo import make_conninfo

from config.settings import *  # noqa: F403
from config.settings import DATABASE_DIRECT_URL as _DATABASE_URL
from config.settings import DATABASES as _DATABASES
from config.settings import REDIS_URL as _REDIS_URL

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_number = int(_worker.removeprefix("gw")) + 1 if _worker.startswith("gw") else 0

# The relay connects past Django, so to the test database by the name that the test runner gives it.
_suffix = f"_{_worker}" if _worker.startswith("gw") else ""
DATABASE_DIRECT_URL = make_conninfo(_DATABASE_URL, dbname=f"test_{_DATABASES['default']['NAME']}{_suffix}")

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Most tests are one transaction, from their first request to their last.
TRANSACTION_TIMEOUT = "170s"
THROTTLE_LIMITS = dict.fromkeys(
    ("read", "write", "lookup", "heavy", "password", "password-address"), (1_000_000, 60)
)
THROTTLE_PUBLIC_FACTOR = 10_000
SCREENING_REQUIRED = False
PUBLIC_URL = "http://localhost:8000"
PUBSUB_PROJECT_ID = f"cotton-erp-test-{_worker}"
REDIS_URL = f"{_REDIS_URL.rsplit('/', 1)[0]}/{2 + _number % 14}"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    }
}
OUTBOX_WAKE_CHANNEL = f"erp:outbox:wake:{_worker}"
# Two lines for each request would be masked, formatted and captured, to be read by nobody.
logging.getLogger("django_structlog.middlewares").setLevel(logging.WARNING)
