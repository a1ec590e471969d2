"""Sign-in over HTTP."""

from rest_framework.request import Request

from apps.accounts import services
from apps.accounts.serializers import LoginInput, RefreshInput, TokensOutput
from erp.api.endpoints import Limit, endpoint
from erp.api.throttling import client_address
from erp.api.viewsets import ViewSet

HOUR = 3600


class AuthViewSet(ViewSet):
    """The doors of ``/auth``."""

    login = endpoint(
        services.log_in,
        LoginInput,
        exempt="a repeated sign-in is a new session, and a wrong one is counted",
        output=TokensOutput,
        secret=True,
        limit=Limit(limit=100, window=HOUR),
        problems=(services.CredentialsInvalid, services.Locked),
    )
    refresh = endpoint(
        services.refresh,
        RefreshInput,
        public="the refresh token is the proof",
        output=TokensOutput,
        secret=True,
        limit=Limit(limit=60, window=60),
        problems=(services.RefreshInvalid, services.RefreshReused),
    )

    def door(self, request: Request) -> services.Door:
        return services.Door(
            kind="api", ip=client_address(request), device=request.headers.get("User-Agent", "")[:400]
        )
