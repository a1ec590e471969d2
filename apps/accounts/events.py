"""What others may learn of users and their sessions. Never a name, an address or a device."""

from datetime import datetime
from uuid import UUID

from erp.events import Event, event


@event("user.added", version=1, aggregate=("user", "user_id"))
class UserAdded(Event):
    user_id: UUID
    user_type: str
    organization_id: UUID | None
    partner_id: UUID | None
    roles: list[str]


@event("user.logged_in", version=1, aggregate=("user", "user_id"))
class UserLoggedIn(Event):
    user_id: UUID
    session_id: UUID
    door: str
    method: str
    second_factor: str
    new_device: bool


@event("user.logged_out", version=1, aggregate=("user", "user_id"))
class UserLoggedOut(Event):
    user_id: UUID
    session_id: UUID


@event("user.login_failed", version=1, aggregate=("sign_in", "sign_in_id"))
class UserLoginFailed(Event):
    sign_in_id: UUID
    user_id: UUID | None
    reason: str
    failures: int


@event("user.locked", version=1, aggregate=("sign_in", "sign_in_id"))
class UserLocked(Event):
    sign_in_id: UUID
    user_id: UUID | None
    locked_until: datetime


@event("session.refreshed", version=1, aggregate=("session", "session_id"))
class SessionRefreshed(Event):
    session_id: UUID
    user_id: UUID


@event("session.refresh_reuse_detected", version=1, aggregate=("session", "session_id"))
class RefreshReuseDetected(Event):
    session_id: UUID
    user_id: UUID
