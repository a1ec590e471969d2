"""Django's settings: one file, everything that differs between machines read from the environment."""

import gc
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from celery.schedules import crontab
from psycopg.conninfo import conninfo_to_dict

from config import api_document, environment
from config.logging import logging_config
from erp.embedded import state

gc.disable()  # until config.apps: a quarter of each start went into it, with nothing to collect
ENV = environment.read()
BASE_DIR = Path(__file__).resolve().parent.parent
ERP_ENV = ENV.erp_env
PRODUCTION = ERP_ENV == "production"
DEBUG = ENV.debug
SECRET_KEY = ENV.secret_key
ALLOWED_HOSTS = ENV.allowed_hosts
CSRF_TRUSTED_ORIGINS = ENV.csrf_trusted_origins

INSTALLED_APPS = [
    "erp",  # first: its templates and commands replace those of the apps below
    "unfold.apps.BasicAppConfig",
    "config.portal.StaffPortalConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "corsheaders",
    "django_structlog",
    "erp.trail",
    "erp.outbox",
    "erp.idempotency",
    "erp.jobs",
    "erp.saved_views",
    "erp.usage",
    "erp.uploads",
    "erp.ai",
    "apps.accounts",
    "apps.notifications",
    "apps.approvals",
    "apps.organization",
    "apps.locations",
    "apps.commodities",
    "apps.partners",
    "apps.availability",
    "apps.requirement",
    "apps.risk",
    "apps.matching",
    "apps.negotiations",
    "apps.trades",
    "apps.integrations",
    "config",
]
MIDDLEWARE = [
    "erp.metrics.MetricsMiddleware",
    "erp.usage.counting.CountingMiddleware",
    "erp.logs.RequestIdMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "erp.pages.PageMiddleware",
    "erp.api.throttling.AnonymousMiddleware",
    "erp.api.problems.ProblemMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "erp.admin.middleware.AdminMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database(url: str) -> dict[str, Any]:
    parts = conninfo_to_dict(url or "postgresql://erp@127.0.0.1:1/erp")
    known = {key: parts.pop(key, "") for key in ("dbname", "user", "password", "host", "port")}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": known["dbname"],
        "USER": known["user"],
        "PASSWORD": known["password"],
        "HOST": known["host"],
        "PORT": str(known["port"] or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **parts},
    }


DATABASES = {"default": _database(ENV.database_url)}
# Session-level advisory locks need a direct connection, not one through a transaction pooler.
DATABASE_DIRECT_URL = ENV.database_direct_url or ENV.database_url
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = ENV.redis_url
PUBSUB_PROJECT_ID = ENV.pubsub_project_id
PUBSUB_EMULATOR_HOST = ENV.pubsub_emulator_host
PUBSUB_ENDPOINT = ENV.pubsub_endpoint
PUBSUB_REGION = ENV.pubsub_region
PUBSUB_PROJECT_NUMBER = ENV.pubsub_project_number
if REDIS_URL:
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

OUTBOX_BUCKETS = ENV.outbox_buckets
OUTBOX_MAX_ATTEMPTS = ENV.outbox_max_attempts
OUTBOX_POLL_INTERVAL = ENV.outbox_poll_interval
OUTBOX_RETENTION_DAYS = ENV.outbox_retention_days
OUTBOX_ORDERING = ENV.outbox_ordering
METRICS_PORT = ENV.metrics_port
DATA_DIR = state.data_dir()
HEARTBEAT_DIR = ENV.heartbeat_dir or str(DATA_DIR / "heartbeats")
OUTBOX_WAKE_CHANNEL = "erp:outbox:wake"
PUBSUB_TOPIC = "cotton-erp-events"
PUBSUB_SUBSCRIPTION = "cotton-erp-events-sub"
PUBSUB_DLQ_TOPIC = "cotton-erp-events-dlq"
PUBSUB_DLQ_SUBSCRIPTION = "cotton-erp-events-dlq-sub"
PUBSUB_MAX_DELIVERY_ATTEMPTS = ENV.pubsub_max_delivery_attempts
PUBSUB_RETRY_MIN_SECONDS = ENV.pubsub_retry_min_seconds
PUBSUB_RETRY_MAX_SECONDS = ENV.pubsub_retry_max_seconds
PUBSUB_DLQ_RETENTION_DAYS = ENV.pubsub_dlq_retention_days
INBOX_RETENTION_DAYS = ENV.inbox_retention_days
FEED_RETENTION_DAYS = ENV.feed_retention_days
EVENT_SOURCE = "/cotton-erp"
EVENT_SCHEMA_BASE = "https://schemas.cotton-erp.example/events"

# A write waits for a row, and lasts, no longer than this; then 503.
LOCK_TIMEOUT = "10s"
TRANSACTION_TIMEOUT = "30s"

IDEMPOTENCY_TTL_HOURS = 24
IDEMPOTENCY_SECRET_MINUTES = 15
IDEMPOTENCY_BODY_LIMIT = 256 * 1024
IDEMPOTENCY_FINGERPRINT_KEY = ENV.key("idempotency_fingerprint_key")
IDEMPOTENCY_SECRET_KEY = ENV.key("idempotency_secret_key")
TRAIL_DIGEST_KEY = ENV.key("trail_digest_key")

AUTH_USER_MODEL = "account.User"
AUTHENTICATION_BACKENDS = ["erp.access.Backend"]
ANONYMOUS_USER_NAME = None
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]  # erp.access.Backend asks guardian itself
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "full_name")},
    },
]
JWT_SIGNING_KEY = ENV.key("jwt_signing_key")
JWT_LEEWAY_SECONDS = 5  # by which the clocks of two hosts may differ
JWT_ACCESS_MINUTES = 15
JWT_REFRESH_DAYS = 30
JWT_FAMILY_DAYS = 90
SIGN_IN_COUNTER_KEY = ENV.key("sign_in_counter_key")
# Of columns that are encrypted at rest (erp.encryption): the first key writes, all of them read.
ENCRYPTION_KEYS = ENV.keys("encryption_keys")
EQUALITY_KEY = ENV.key("equality_key")
# Links and codes of messages are derived with these: the first makes new ones, all of them are taken.
ONE_TIME_KEYS = ENV.keys("one_time_keys")
PSEUDONYM_KEY = 1  # version of the key of pseudonyms in new negotiations; older ones keep theirs
SIGN_IN_FAILURES = 5
SIGN_IN_WINDOW_MINUTES = 15
SIGN_IN_LOCK_MINUTES = 15
CHALLENGE_MINUTES = 5
ONE_TIME_TOKEN_AGE = {
    "sign_up": timedelta(hours=24),
    "verify_email": timedelta(hours=24),
    "change_email": timedelta(hours=24),
    "reset_password": timedelta(minutes=30),
    "invitation": timedelta(days=7),
}
# Mails that carry a token, whatever for: per address, per user who asks, per inviting user, per network, and in all.
MAIL_PER_ADDRESS = {timedelta(hours=1): 5, timedelta(days=1): 10}
MAIL_PER_USER = {timedelta(hours=1): 5, timedelta(days=1): 20}
MAIL_PER_INVITER = {timedelta(hours=1): 100, timedelta(days=1): 500}
MAIL_PER_NETWORK = {timedelta(hours=1): 20, timedelta(days=1): 100}
MAIL_PER_DAY = ENV.mail_per_day
OTP_AGE = timedelta(minutes=5)
OTP_TRIES = 3
OTP_RESEND_AFTER = timedelta(seconds=60)
OTP_PER_NUMBER = {timedelta(hours=1): 5, timedelta(days=1): 10}
OTP_PER_DAY = ENV.otp_per_day
OTP_SERVED = ("+91",)  # beginnings of the numbers that messages are sent to
TOTP_PENDING_AGE = timedelta(minutes=10)
TOTP_ISSUER = "Cotton ERP"
REAUTHENTICATION_AGE = timedelta(minutes=10)
PASSWORDS_REMEMBERED = 5
ACCOUNT_PENDING_DAYS = 30
ACCOUNT_TRACES_DAYS = 30
ACCOUNT_SESSIONS_DAYS = 365
ADMIN_SESSION_HOURS = 12
ADMIN_IDLE_MINUTES = 30
VIEW_AS_MINUTES = 30  # how long staff can view the product as a partner
TRUSTED_PROXIES = ENV.trusted_proxies

MAINTENANCE = ENV.maintenance  # every request is answered with 503
SUPPORT_EMAIL = ENV.support_email  # shown on the sign-in page and on pages of errors
PUBLIC_URL = ENV.public_url  # where links in messages lead
TERMS_VERSION = ENV.terms_version  # of the terms of use that an invited user accepts
# Where look-ups of places go unless the caller names a provider; nominatim needs its address.
LOCATION_PROVIDER = ENV.location_provider
NOMINATIM_URL, NOMINATIM_KEY = ENV.nominatim_url, ENV.nominatim_key
# Who is asked about partners, by kind of check: address and token. Without an address the sandbox answers.
REGISTRIES = {
    "gst": (ENV.gst_url, ENV.gst_token),
    "pan": (ENV.pan_url, ENV.pan_token),
    "bank": (ENV.penny_drop_url, ENV.penny_drop_token),
    "geocode": (ENV.geocoder_url, ENV.geocoder_token),
}
# Who answers about risk: grades of firms, screening lists, currency rates.
RISK_PROVIDERS = {
    "bureau": (ENV.credit_bureau_url, ENV.credit_bureau_token),
    "screening": (ENV.screening_url, ENV.screening_token),
    "rates": (ENV.currency_rates_url, ENV.currency_rates_token),
}
# Whether money waits for a fresh screening list; tests of other modules load none.
SCREENING_REQUIRED = True
SCANNER_URL = ENV.scanner_url
# Who answers questions for suggestions: the built-in functions, or a model over HTTP; prices a million tokens.
AI_PROVIDER, AI_URL, AI_MODEL, AI_KEY = ENV.ai_provider, ENV.ai_url, ENV.ai_model, ENV.ai_key
AI_PRICE_IN, AI_PRICE_OUT, AI_CURRENCY = ENV.ai_price_in, ENV.ai_price_out, ENV.ai_currency
FILE_STORAGE = ENV.file_storage
PARTNER_AUTO_APPROVAL = ENV.partner_auto_approval
PARTNER_MAX_EMPLOYEES = None
PARTNER_REFUSED_EMAIL_DOMAINS: frozenset[str] = frozenset()  # small firms use public mail
# Domains of public mail, which don't link their users to each other.
PARTNER_PUBLIC_EMAIL_DOMAINS = frozenset(
    f"{name}.com"
    for name in (
        "gmail", "yahoo", "hotmail", "outlook", "rediffmail", "ymail", "live", "aol", "protonmail", "zoho", "icloud",
        "mail",
    )
)  # fmt: skip
PARTNER_BANK_COOLING_HOURS = 72  # between the verification of an account and the first payout
PARTNER_HIGH_RISK_COUNTRIES = frozenset({"AF", "MM", "YE", "SO", "SD", "LY"})
PARTNER_MEDIUM_RISK_COUNTRIES = frozenset({"BD", "PK", "NG", "VN", "EG", "TR", "ET", "KE"})
KYC_AUTO_SUSPEND = ENV.kyc_auto_suspend
# Changes of an approved offer beyond these percentages need another approval; offers up to the limit are approved
# automatically, if one is set.
AVAILABILITY_PRICE_THRESHOLD, AVAILABILITY_QUANTITY_THRESHOLD = Decimal(5), Decimal(10)
AVAILABILITY_PRICE_FLAG = Decimal(15)  # percent from the reference price, beyond which approvers are told
AVAILABILITY_AUTO_APPROVE_LIMIT: Decimal | None = None
# Requirements above the value (INR), or with a ceiling above so many percent of the suggested price, need an approval;
# a value that rose by more than so many percent needs another. Statistics show cells of enough buyers only.
REQUIREMENT_APPROVAL_LIMIT = Decimal("10000000.00")
REQUIREMENT_CEILING_LOW_PERCENT, REQUIREMENT_CEILING_HIGH_PERCENT = Decimal(70), Decimal(130)
REQUIREMENT_VALUE_RISE_PERCENT = Decimal(10)
REQUIREMENT_SUGGESTIONS_PER_DAY = 10  # of a buyer about one commodity
REQUIREMENT_STATISTICS_PARTNERS, REQUIREMENT_STATISTICS_SHARE_PERCENT = 5, Decimal(50)
# The house that books trades which SYSTEM makes, the hours in which both sides acknowledge, and how far an e-way
# bill reaches a day.
TRADE_ORGANIZATION = ENV.trade_organization or None
TRADE_ACKNOWLEDGE_HOURS = 72
TRADE_EWAY_KM_PER_DAY = 200
EWAY_PORTAL = (ENV.eway_url, ENV.eway_token)  # address and token; without an address the sandbox answers
CREDIT_EXPOSURE_FACTOR = Decimal("1.00")  # share of undelivered contracts that counts as exposure
MAIL_PROVIDER, SMS_PROVIDER = ENV.mail_provider, ENV.sms_provider
MAIL_FROM = ENV.mail_from
SMTP_HOST, SMTP_PORT, SMTP_SECURITY = ENV.smtp_host, ENV.smtp_port, ENV.smtp_security
SMTP_USERNAME, SMTP_PASSWORD = ENV.smtp_username, ENV.smtp_password
SMS_URL, SMS_TOKEN = ENV.sms_url, ENV.sms_token
SMS_SENDER, SMS_ENTITY_ID = ENV.sms_sender, ENV.sms_entity_id

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["erp.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "erp.api.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["erp.api.filters.FilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "erp.api.schema.AutoSchema",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "erp.api.negotiation.JsonOnly",
    "EXCEPTION_HANDLER": "erp.api.problems.exception_handler",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": True,
    "NUM_PROXIES": ENV.trusted_proxies,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
THROTTLE_LIMITS = {
    "read": (ENV.throttle_read, 60),
    "write": (ENV.throttle_write, 60),
    "lookup": (ENV.throttle_lookup, 60),
    "heavy": (ENV.throttle_heavy, 60),
    # What hashes a password: per user, and per address over all such endpoints.
    "password": (ENV.throttle_password, 3600),
    "password-address": (ENV.throttle_password_address, 3600),
}
# Per address, for all responses without sign-in: pages, documents, refusals; and of probes.
THROTTLE_ANONYMOUS = {"anonymous": (ENV.throttle_anonymous, 60), "probe": (600, 60)}
# Public endpoints have their own limits; this multiplies them, for tests and measurements.
THROTTLE_PUBLIC_FACTOR = ENV.throttle_public_factor
MASKED_REFUSALS_PER_DAY = ENV.masked_refusals_per_day
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
API_JSON_LIMIT = 2 * 1024 * 1024
API_FILE_LIMIT = 9 * 1024 * 1024
API_JSON_DEPTH = 20
# Tables that a request reads (all) and previews (rows) itself; a job reads larger ones. Seconds of processor time.
TABLE_REQUEST_BYTES = 1024 * 1024
TABLE_REQUEST_ROWS = 2_000
TABLE_REQUEST_SECONDS = 5.0
SPECTACULAR_SETTINGS = {
    "TITLE": "Cotton ERP",
    "DESCRIPTION": api_document.INTRODUCTION,
    "TAGS": api_document.TAGS,
    "VERSION": "1.0.0",
    "LICENSE": {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"},
    "SERVERS": [{"url": "/", "description": "The server that this document comes from."}],
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "PREPROCESSING_HOOKS": ["erp.api.schema.load_examples"],
    # Without the default one, which guesses names for enums; here they stay inline.
    "POSTPROCESSING_HOOKS": ["erp.api.schema_texts.complete"],
}
API_FIELD_DESCRIPTIONS = api_document.FIELDS
API_FIELD_EXAMPLES = api_document.EXAMPLES
# Examples of requests, for the API document, the audit and tests.
API_EXAMPLES = (
    "erp.jobs.tests.examples",
    "erp.uploads.tests.examples",
    "apps.accounts.tests.examples",
    "apps.notifications.tests.examples",
    "apps.approvals.tests.examples",
    "apps.organization.tests.examples",
    "apps.locations.tests.examples",
    "apps.commodities.tests.examples",
    "apps.partners.tests.examples",
    "apps.availability.tests.examples",
    "apps.requirement.tests.examples",
    "apps.risk.tests.examples",
    "apps.matching.tests.examples",
    "apps.negotiations.tests.examples",
    "apps.trades.tests.examples",
    "apps.integrations.tests.examples",
)
CORS_ALLOWED_ORIGINS = ENV.cors_allowed_origins
CORS_URLS_REGEX = r"^/api/.*$"
CORS_ALLOW_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT"]
CORS_ALLOW_HEADERS = [
    "authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-request-id",
]  # fmt: skip
CORS_EXPOSE_HEADERS = [
    "ETag", "Location", "Idempotency-Replayed", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID",
]  # fmt: skip

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
# When the office is open, India's time: some queues of the portal turn red by working hours. Monday is 0.
WORKING_DAYS, WORKING_HOURS = range(6), (time(9, 30), time(18, 30))
# Columns that hold the id of a row of another module, and the row: pages of the portal link to it.
PORTAL_REFERENCES = {
    "approval_id": "approval.ApprovalRequest", "pending_approval_id": "approval.ApprovalRequest", "job_id": "job.Job",
    "match_id": "matching.Match", "reservation_id": "availability.Reservation", "trade_id": "trade.Trade",
}  # fmt: skip
# Groups of the staff portal's sidebar, by work: title, and apps.
PORTAL_GROUPS = [
    ("Trading", ["availability", "requirement", "matching", "negotiation", "trade"]),
    ("Risk", ["risk"]),
    ("Partners", ["partner"]),
    ("Approvals", ["approval"]),
    ("Master data", ["commodity", "location"]),
    ("Company", ["organization"]),
    ("Administration", ["account", "notification", "integration", "ai"]),
    ("Operations", ["job", "outbox", "idempotency", "trail"]),
]
UNFOLD = {
    "SITE_TITLE": "Staff portal",
    "SITE_HEADER": "Cotton ERP",
    "SITE_SUBHEADER": "Staff portal",
    "SITE_SYMBOL": "inventory_2",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "erp.admin.environment",
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "erp.admin.navigation.sidebar"},
    "STYLES": ["erp.admin.style"],
    "SCRIPTS": ["erp.admin.script"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "erp.admin.icon"}],
    "ACCOUNT": {
        "navigation": [
            {"title": "My sessions", "link": "apps.accounts.staff_site.own_sessions"},
            {"title": "Two-factor authentication", "link": "apps.accounts.staff_site.own_factor"},
        ]
    },
    "COLORS": {
        "primary": {
            "50": "oklch(97.7% .014 150)",
            "100": "oklch(94.6% .033 150)",
            "200": "oklch(90.2% .063 150)",
            "300": "oklch(82.7% .1 150)",
            "400": "oklch(71.4% .12 150)",
            "500": "oklch(60% .12 150)",
            "600": "oklch(48% .1 150)",
            "700": "oklch(42% .09 150)",
            "800": "oklch(36% .08 150)",
            "900": "oklch(31% .07 150)",
            "950": "oklch(24% .06 150)",
        },
    },
}

JOB_LEASE_SECONDS = 20
JOB_SWEEP_SECONDS = 10
JOB_RETENTION_DAYS = 7  # of files and rows (api §6)

CELERY_BROKER_URL = ENV.celery_broker_url or ENV.redis_url
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "erp.outbox.tasks.relay_shift": {"queue": "relay"},
    # A slow provider delays nothing else.
    "apps.notifications.tasks.*": {"queue": "mail"},
    "apps.partners.tasks.run_check*": {"queue": "mail"},
    "apps.risk.tasks.run_check*": {"queue": "mail"},
    "apps.risk.tasks.fetch_*": {"queue": "mail"},
    "erp.uploads.tasks.scan": {"queue": "mail"},
    "apps.requirement.tasks.ask_opinions": {"queue": "mail"},
    "erp.uploads.tasks.move": {"queue": "mail"},
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "erp.heartbeat:BeatScheduler"
CELERY_TIMEZONE = "Asia/Kolkata"
CELERY_BEAT_SCHEDULE = {
    "relay-shift": {"task": "erp.outbox.tasks.relay_shift", "schedule": 1.0, "options": {"expires": 2}},
    "seal-trail": {"task": "erp.trail.tasks.seal", "schedule": 5.0, "options": {"expires": 5}},
    "anchor-trail": {"task": "erp.trail.tasks.anchor", "schedule": crontab(hour="0", minute="5")},
    "verify-trail": {"task": "erp.trail.tasks.verify", "schedule": crontab(hour="2", minute="43")},
    "purge-outbox": {"task": "erp.outbox.tasks.purge", "schedule": crontab(minute="17")},
    "count-dead-letters": {
        "task": "erp.tasks.count_dead_letters",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 300},
    },
    "check-topology": {
        "task": "erp.tasks.check_topology",
        "schedule": crontab(minute="7"),
        "options": {"expires": 3600},
    },
    "sweep-jobs": {
        "task": "erp.jobs.tasks.sweep",
        "schedule": float(JOB_SWEEP_SECONDS),
        "options": {"expires": JOB_SWEEP_SECONDS},
    },
    "purge-jobs": {"task": "erp.jobs.tasks.purge", "schedule": crontab(minute="37")},
    "store-requests": {
        "task": "erp.usage.tasks.store_requests",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "purge-idempotency": {"task": "erp.idempotency.tasks.purge", "schedule": crontab(minute="*/5")},
    "expire-grants": {
        "task": "apps.accounts.tasks.expire_grants",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "expire-views-as": {
        "task": "apps.accounts.tasks.expire_views_as",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "draw-trade-documents": {
        "task": "apps.trades.money_tasks.draw_documents",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "verify-settlements": {
        "task": "apps.trades.money_tasks.verify_settlements",
        "schedule": crontab(hour="3", minute="13"),
    },
    "report-overdue-trades": {
        "task": "apps.trades.money_tasks.report_overdue",
        "schedule": crontab(hour="6", minute="29"),
        "options": {"expires": 3600},
    },
    "purge-personal-data": {
        "task": "erp.tasks.purge_personal_data",
        "schedule": crontab(hour="1", minute="53"),
    },
    "purge-accounts": {"task": "apps.accounts.tasks.purge", "schedule": crontab(hour="2", minute="23")},
    "clear-sessions": {
        "task": "apps.accounts.tasks.clear_sessions",
        "schedule": crontab(hour="3", minute="41"),
    },
    "expire-approvals": {
        "task": "apps.approvals.tasks.expire_overdue",
        "schedule": crontab(minute="11"),
        "options": {"expires": 3600},
    },
    "sweep-messages": {
        "task": "apps.notifications.tasks.sweep",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "send-digests": {
        "task": "apps.notifications.tasks.send_digests",
        "schedule": crontab(hour="9", minute="0"),
        "options": {"expires": 3600},
    },
    "scan-uploads": {"task": "erp.uploads.tasks.scan", "schedule": 5.0, "options": {"expires": 5}},
    "move-uploads": {"task": "erp.uploads.tasks.move", "schedule": 60.0, "options": {"expires": 60}},
    "purge-uploads": {"task": "erp.uploads.tasks.purge", "schedule": crontab(minute="47")},
    "run-partner-checks": {
        "task": "apps.partners.tasks.run_checks",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "keep-partner-dates": {
        "task": "apps.partners.tasks.keep_dates",
        "schedule": crontab(minute="*/10"),
        "options": {"expires": 600},
    },
    "approve-partners": {
        "task": "apps.partners.tasks.approve_automatically",
        "schedule": crontab(minute="*/10"),
        "options": {"expires": 600},
    },
    "keep-kyc-calendar": {
        "task": "apps.partners.tasks.keep_kyc_calendar",
        "schedule": crontab(hour="0", minute="5"),
    },
    # On the first of a month; on other days they catch up.
    "recheck-registrations": {
        "task": "apps.partners.tasks.recheck_registrations",
        "schedule": crontab(hour="0", minute="15"),
    },
    "rescore-partners": {
        "task": "apps.partners.tasks.rescore_partners",
        "schedule": crontab(hour="0", minute="30"),
    },
    "expire-offers": {
        "task": "apps.availability.tasks.expire_offers",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "prepare-media": {
        "task": "apps.availability.tasks.prepare_media",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "follow-partners": {
        "task": "apps.availability.tasks.follow_partners",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "follow-places": {
        "task": "apps.availability.tasks.follow_places",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "expire-requirements": {
        "task": "apps.requirement.tasks.expire_requirements",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "follow-partners-of-requirements": {
        "task": "apps.requirement.tasks.follow_partners",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "follow-places-of-requirements": {
        "task": "apps.requirement.tasks.follow_places",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "release-reservations-of-requirements": {
        "task": "apps.requirement.tasks.release_reservations",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "compute-demand": {
        "task": "apps.requirement.tasks.compute_demand",
        "schedule": crontab(hour="1", minute="13"),
    },
    "ask-opinions": {
        "task": "apps.requirement.tasks.ask_opinions",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "expire-negotiations": {
        "task": "apps.negotiations.tasks.expire_negotiations",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "close-negotiations": {
        "task": "apps.negotiations.tasks.close_negotiations",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "sweep-rematch-marks": {
        "task": "apps.matching.tasks.sweep_marks",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "expire-matches": {
        "task": "apps.matching.tasks.expire_matches",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "send-match-digests": {
        "task": "apps.matching.tasks.send_digests",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "cancel-unacknowledged-trades": {
        "task": "apps.trades.tasks.cancel_unacknowledged",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "follow-suspensions-of-trades": {
        "task": "apps.trades.tasks.follow_suspensions",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "ask-eway-bills": {
        "task": "apps.trades.tasks.ask_eways",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "miss-trade-deadlines": {
        "task": "apps.trades.tasks.miss_deadlines",
        "schedule": crontab(hour="0", minute="20"),
    },
    "expire-reservations": {
        "task": "apps.availability.tasks.expire_reservations",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "ask-risk-providers": {
        "task": "apps.risk.tasks.run_checks",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "reassess-risk": {
        "task": "apps.risk.tasks.reassess_due",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "screen-partners": {
        "task": "apps.risk.tasks.screen_partners",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "end-risk-dates": {
        "task": "apps.risk.tasks.end_dates",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "judge-blocked-pairs": {
        "task": "apps.risk.tasks.judge_blocked",
        "schedule": crontab(hour="2", minute="7"),
    },
    "find-rings": {
        "task": "apps.risk.tasks.find_rings",
        "schedule": crontab(hour="2", minute="17", day_of_week="1"),
    },
    "fetch-screening-lists": {
        "task": "apps.risk.tasks.fetch_lists",  # once a day, tried every hour
        "schedule": crontab(minute="7"),
    },
    "fetch-currency-rates": {
        "task": "apps.risk.tasks.fetch_rates",  # the same rate adds no row
        "schedule": crontab(minute="37"),
    },
    "purge-feed": {
        "task": "apps.integrations.tasks.purge_feed",
        "schedule": crontab(minute="27"),
        "options": {"expires": 3600},
    },
}

LANGUAGE_CODE = "en-in"
TIME_ZONE = "Asia/Kolkata"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["config.formats"]
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not PRODUCTION

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "erp.pages.csrf_failure"
if PRODUCTION:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]

LOGGING_CONFIG = None
LOGGING = logging_config(level=ENV.log_level, machine_readable=PRODUCTION, project=ENV.pubsub_project_id)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_COMMAND_LOGGING_ENABLED = False
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
