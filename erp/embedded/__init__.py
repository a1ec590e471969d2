"""Real servers for one machine: PostgreSQL, Redis and Pub/Sub, used only where no URL is configured."""
