# One image serves every process; the command chooses which.
FROM python:3.12-slim AS build
WORKDIR /app
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-deps -r requirements.txt

FROM python:3.12-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DJANGO_SETTINGS_MODULE=config.settings
WORKDIR /app
RUN useradd --system --uid 10001 erp
COPY --from=build /venv /venv
COPY manage.py celery_worker.py ./
COPY config config
COPY erp erp
COPY apps apps
COPY docs/events docs/events
COPY docs/register docs/register
COPY docs/openapi.yaml docs/schema.txt docs/
# Static files need no server and no secret, so a development environment serves to collect them.
RUN ERP_ENV=development python manage.py collectstatic --no-input
# Counters of gunicorn's workers and Celery's children add up in this folder; figures are on an inner port.
RUN mkdir /run/erp-metrics && chown erp /run/erp-metrics
ENV METRICS_PORT=9100 PROMETHEUS_MULTIPROC_DIR=/run/erp-metrics
USER erp
EXPOSE 8000 9100
# web:      this command             worker:   python celery_worker.py worker
# relay:    python manage.py relay_outbox, or python celery_worker.py relay
# beat:     python celery_worker.py beat (exactly one)      consumer: python manage.py consume_events
CMD ["gunicorn", "config.wsgi", "--config=python:config.web_server", "--bind=0.0.0.0:8000", "--bind=0.0.0.0:9100", "--workers=4"]
