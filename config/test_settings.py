"""Settings of the test suite: real servers, a space of its own per parallel worker, cheaper hashes."""

import os

from config.settings import *  # noqa: F403
from config.settings import REDIS_URL as _REDIS_URL

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_number = int(_worker.removeprefix("gw")) + 1 if _worker.startswith("gw") else 0

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
THROTTLE_LIMITS = dict.fromkeys(("read", "write", "lookup", "heavy"), (1_000_000, 60))
PUBSUB_PROJECT_ID = f"cotton-erp-test-{_worker}"
REDIS_URL = f"{_REDIS_URL.rsplit('/', 1)[0]}/{2 + _number % 14}"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    }
}
OUTBOX_WAKE_CHANNEL = f"erp:outbox:wake:{_worker}"
