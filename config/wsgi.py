"""The web application for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

from erp.api.wsgi import readable
from erp.metrics import inner_port

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = inner_port(readable(get_wsgi_application()))
