"""Production's settings with leases of jobs that end within seconds, for processes that tests kill."""

from config.settings import *  # noqa: F403
from config.settings import CELERY_BEAT_SCHEDULE

JOB_LEASE_SECONDS = 4
JOB_SWEEP_SECONDS = 1
CELERY_BEAT_SCHEDULE["sweep-jobs"] |= {"schedule": 1.0, "options": {"expires": JOB_SWEEP_SECONDS}}
