"""One request that succeeds per door of the accounts module."""

from config.testing import PASSWORD
from erp.api.examples import Example
from erp.api.testing import ApiClient


def _refresh_token(world, target):
    answer = ApiClient().write(
        "/api/v1/auth/login", {"email": world.user("BUYER").email, "password": PASSWORD}
    )
    return answer.json()["refresh_token"]


EXAMPLES = {
    "log_in": Example(body={"email": lambda world, target: world.user("BUYER").email, "password": PASSWORD}),
    "refresh": Example(body={"refresh_token": _refresh_token}),
}
