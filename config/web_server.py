"""Settings of the web server: ``gunicorn --config=python:config.web_server``."""

worker_class = "erp.api.server.Worker"
threads = 4
timeout = 60
# Above what any request of ours needs, so that Django answers it; gunicorn takes no longer request line.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 16_380
