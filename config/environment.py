"""The environment, read once, typed, with a clear failure on nonsense."""

import hashlib
import hmac
import re
from collections import Counter
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from erp.embedded import state
from erp.identifiers import EMAIL

DEVELOPMENT_SECRET = "development-only-secret-key-never-used-in-production"
Names = Annotated[list[str], NoDecode]
URLS_WITH_SECRETS = (
    ("ai_url", "ai_key"),
    ("sms_url", "sms_token"),
    ("nominatim_url", "nominatim_key"),
    ("gst_url", "gst_token"),
    ("pan_url", "pan_token"),
    ("penny_drop_url", "penny_drop_token"),
    ("geocoder_url", "geocoder_token"),
    ("credit_bureau_url", "credit_bureau_token"),
    ("screening_url", "screening_token"),
    ("currency_rates_url", "currency_rates_token"),
)
KEYS = (
    "jwt_signing_key",
    "idempotency_fingerprint_key",
    "idempotency_secret_key",
    "sign_in_counter_key",
    "equality_key",
    "trail_digest_key",
)
KEY_RINGS = ("encryption_keys", "one_time_keys")


class Environment(BaseSettings):
    """Every variable the product reads. ``.env.example`` explains them to operators."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True)

    erp_env: Literal["development", "test", "production"] = "development"
    debug: bool = False
    secret_key: str = DEVELOPMENT_SECRET
    allowed_hosts: Names = Field(default=["localhost", "127.0.0.1", "[::1]", "testserver"])
    csrf_trusted_origins: Names = Field(default=[])
    cors_allowed_origins: Names = Field(default=[])
    trusted_proxies: int = Field(default=0, ge=0, le=10)

    database_url: str = ""
    database_direct_url: str = ""
    redis_url: str = ""
    celery_broker_url: str = ""
    pubsub_project_id: str = Field(default="cotton-erp", pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")
    pubsub_emulator_host: str = ""
    pubsub_endpoint: str = "pubsub.googleapis.com"
    pubsub_region: str = ""
    pubsub_project_number: str = Field(default="", pattern=r"^[0-9]*$")
    pubsub_max_delivery_attempts: int = Field(default=5, ge=5, le=100)
    pubsub_retry_min_seconds: int = Field(default=10, ge=0, le=600)
    pubsub_retry_max_seconds: int = Field(default=600, ge=0, le=600)
    pubsub_dlq_retention_days: int = Field(default=31, ge=1, le=31)
    inbox_retention_days: int = Field(default=45, ge=31)
    feed_retention_days: int = Field(default=30, ge=1)

    jwt_signing_key: str = ""
    idempotency_fingerprint_key: str = ""
    idempotency_secret_key: str = ""
    sign_in_counter_key: str = ""
    encryption_keys: Annotated[dict[str, str], NoDecode] = Field(default={})
    equality_key: str = ""
    trail_digest_key: str = ""
    one_time_keys: Annotated[dict[str, str], NoDecode] = Field(default={})

    port: str = Field(default="", pattern=r"^[0-9]{0,5}$")
    public_url: str = ""
    maintenance: bool = False
    support_email: str = ""
    terms_version: str = Field(default="1", min_length=1, max_length=32)
    mail_provider: Literal["console", "smtp"] = "console"
    mail_from: str = "Cotton ERP <no-reply@cotton-erp.example>"
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    smtp_username: str = ""
    smtp_password: str = ""
    sms_provider: Literal["console", "http_sms"] = "console"
    sms_url: str = ""
    sms_token: str = ""
    sms_sender: str = ""
    sms_entity_id: str = ""

    outbox_buckets: int = Field(default=64, ge=1, le=1024)
    outbox_max_attempts: int = Field(default=5, ge=1, le=100)
    outbox_poll_interval: float = Field(default=0.1, gt=0, le=5)
    outbox_retention_days: int = Field(default=30, ge=1)
    outbox_ordering: Literal["aggregate", "bucket"] = "aggregate"
    heartbeat_dir: str = ""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    prometheus_multiproc_dir: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    throttle_read: int = Field(default=600, ge=1)
    throttle_write: int = Field(default=120, ge=1)
    throttle_lookup: int = Field(default=60, ge=1)
    throttle_heavy: int = Field(default=10, ge=1)
    throttle_anonymous: int = Field(default=300, ge=1)
    throttle_password: int = Field(default=30, ge=1)
    throttle_password_address: int = Field(default=300, ge=1)
    throttle_public_factor: int = Field(default=1, ge=1)
    masked_refusals_per_day: int = Field(default=5, ge=1)
    otp_per_day: int = Field(default=5000, ge=1)
    mail_per_day: int = Field(default=5000, ge=1)

    location_provider: Literal["gazetteer", "nominatim"] = "gazetteer"
    nominatim_url: str = ""
    nominatim_key: str = ""
    # Registries, banks, maps and the scanner: without an address the sandbox answers.
    gst_url: str = ""
    gst_token: str = ""
    pan_url: str = ""
    pan_token: str = ""
    penny_drop_url: str = ""
    penny_drop_token: str = ""
    geocoder_url: str = ""
    geocoder_token: str = ""
    # Outside data about risk: without an address the sandbox answers.
    credit_bureau_url: str = ""
    credit_bureau_token: str = ""
    screening_url: str = ""
    screening_token: str = ""
    currency_rates_url: str = ""
    currency_rates_token: str = ""
    scanner_url: str = ""
    ai_provider: Literal["builtin", "http"] = "builtin"
    ai_url: str = ""
    ai_model: str = ""
    ai_key: str = ""
    ai_price_in: Decimal = Decimal(0)
    ai_price_out: Decimal = Decimal(0)
    ai_currency: str = "INR"
    file_storage: str = ""  # file:///folder or gs://bucket/prefix; empty: files stay in the database
    partner_auto_approval: bool = False
    kyc_auto_suspend: bool = False

    @field_validator("allowed_hosts", "csrf_trusted_origins", "cors_allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("encryption_keys", "one_time_keys", mode="before")
    @classmethod
    def _keys_by_id(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        keys = {key_id: secret for key_id, _, secret in pairs}
        if len(keys) < len(pairs) or not all(re.fullmatch(r"[A-Za-z0-9_-]{1,16}", k) for k in keys):
            raise ValueError("write it as id:secret,id:secret, each id once, of letters, digits, _ and -")
        return keys

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        return _checked(value, {"postgres", "postgresql"})

    @field_validator("file_storage")
    @classmethod
    def _store(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not ((parts.scheme == "file" and parts.path) or (parts.scheme == "gs" and parts.netloc)):
            raise ValueError("write it as file:///folder or gs://bucket/prefix")
        return value

    @field_validator("redis_url", "celery_broker_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        return _checked(value, {"redis", "rediss", "unix"})

    @field_validator("support_email")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not EMAIL.is_valid(value):
            raise ValueError("must be an e-mail address")
        return value

    @field_validator("pubsub_emulator_host")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value and (not (parts := urlsplit(f"//{value}")).hostname or not parts.port):
            raise ValueError("write it as host:port")
        return value

    @model_validator(mode="after")
    def _metrics_of_all_processes(self) -> Self:
        if self.metrics_port and not self.prometheus_multiproc_dir:
            raise ValueError(
                "METRICS_PORT needs PROMETHEUS_MULTIPROC_DIR, the folder of the processes' counters"
            )
        return self

    @field_validator(
        "public_url",
        "sms_url",
        "nominatim_url",
        "gst_url",
        "pan_url",
        "penny_drop_url",
        "geocoder_url",
        "credit_bureau_url",
        "screening_url",
        "currency_rates_url",
        "scanner_url",
        "ai_url",
    )
    @classmethod
    def _web(cls, value: str) -> str:
        return _checked(value, {"http", "https"}).rstrip("/")

    @model_validator(mode="after")
    def _providers_are_whole(self) -> Self:
        needed = {
            "smtp": (self.mail_provider, ("smtp_host",)),
            "http": (self.ai_provider, ("ai_url", "ai_model")),
            "nominatim": (self.location_provider, ("nominatim_url",)),
            "http_sms": (self.sms_provider, ("sms_url", "sms_token", "sms_sender", "sms_entity_id")),
        }
        for name, (chosen, settings) in needed.items():
            missing = [setting.upper() for setting in settings if not getattr(self, setting)]
            if chosen == name and missing:
                raise ValueError(f"{name} needs {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _fit_for_production(self) -> Self:
        if self.erp_env != "production":
            return self
        wrong = []
        if self.debug:
            wrong.append("DEBUG must be off")
        if self.secret_key == DEVELOPMENT_SECRET or len(self.secret_key) < 50:
            wrong.append("SECRET_KEY must be set to a random text of at least 50 characters")
        for name in KEYS:
            if len(getattr(self, name)) < 32:
                wrong.append(f"{name.upper()} must be set to a random text of at least 32 characters")
        wrong += [
            f"{name.upper()} must be set to id:secret, each secret of 32 random characters or more"
            for name in KEY_RINGS
            if not (keys := getattr(self, name)) or min(map(len, keys.values())) < 32
        ]
        if shared := self._settings_with_a_shared_secret():
            wrong.append(f"{', '.join(shared)} must each have a different secret: one is used twice")
        if not self.public_url:
            wrong.append("PUBLIC_URL must be set: links in messages start with it")
        elif urlsplit(self.public_url).scheme != "https" or _is_local(urlsplit(self.public_url).hostname):
            wrong.append("PUBLIC_URL must start with https:// and name a host that others can reach")
        if self.smtp_security == "none" and (self.smtp_username or self.smtp_password):
            wrong.append("SMTP_SECURITY must be starttls or tls: SMTP_PASSWORD would be sent unencrypted")
        for url, secret in URLS_WITH_SECRETS:
            if getattr(self, secret) and urlsplit(getattr(self, url)).scheme == "http":
                wrong.append(
                    f"{url.upper()} must start with https://: {secret.upper()} would be sent unencrypted"
                )
        wrong += [
            f"{name.upper()} must be set: the embedded default is for one machine only"
            for name in ("database_url", "redis_url", "celery_broker_url")
            if not getattr(self, name)
        ]
        if self.pubsub_emulator_host:
            wrong.append("PUBSUB_EMULATOR_HOST must not be set: production uses Google Pub/Sub")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _settings_with_a_shared_secret(self) -> list[str]:
        """Names of the key settings whose secret occurs more than once among all of them."""
        secrets = [(name, getattr(self, name)) for name in ("secret_key", *KEYS)]
        secrets += [(name, secret) for name in KEY_RINGS for secret in getattr(self, name).values()]
        uses = Counter(secret for _, secret in secrets if secret)
        return list(dict.fromkeys(name.upper() for name, secret in secrets if uses[secret] > 1))

    def key(self, name: str) -> str:
        """Return the key of a setting; outside production the default is derived from SECRET_KEY."""
        return str(getattr(self, name) or self._derived(name))

    def keys(self, name: str) -> dict[str, str]:
        """Return the keys of a setting by id; outside production the default is derived."""
        return dict(getattr(self, name) or {"derived": self._derived(name)})

    def _derived(self, name: str) -> str:
        return hmac.new(self.secret_key.encode(), name.encode(), hashlib.sha256).hexdigest()


def _is_local(host: str | None) -> bool:
    """Whether the host of a URL means this machine, or is missing."""
    name = (host or "localhost").rstrip(".")
    if name.rpartition(".")[2] in ("localhost", "localdomain", "local"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        # Browsers also read 127.1, 2130706433 and 0x7f000001 as addresses; no name ends like that.
        return re.fullmatch("[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]) is not None
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified or address.is_link_local


def _checked(value: str, schemes: set[str]) -> str:
    if value and urlsplit(value).scheme not in schemes:
        raise ValueError(
            f"must be a URL that starts with one of {', '.join(sorted(s + '://' for s in schemes))}"
        )
    return value


def read() -> Environment:
    """Read the environment; leave with a message that names each bad variable, never a traceback.

    Outside production, the URLs of the stack that runs fill what isn't set; links lead to the port in use.
    """
    try:
        environment = Environment()
        if environment.erp_env != "production":
            urls = {"PUBLIC_URL": f"http://localhost:{environment.port or 8000}"} | state.urls()
            missing = {k.lower(): v for k, v in urls.items() if not getattr(environment, k.lower())}
            environment = environment.model_copy(update=missing)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in fault['loc']).upper() or 'environment'}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False)
        ]
        raise SystemExit("The environment is not valid:\n" + "\n".join(lines)) from None
    return environment
