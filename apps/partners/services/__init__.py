"""Every way in which partners change; callers import the topic."""
