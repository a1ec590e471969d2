"""A ``google.pubsub.v1`` server for one machine: the publisher and consumers of production run against it.

``python -m erp.embedded.pubsub --port 8085 --journal DIR`` starts it. It offers what the product uses and
behaves there as the documented service does; any other method answers UNIMPLEMENTED. Two things are its own:
message retention is stored but never drops a message, and exactly-once delivery, push, filters, snapshots and
seek are refused.
"""

SERVICE_AGENT = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
"""IAM member that stands for Pub/Sub's own agent (project number 1); dead-lettering needs its two grants."""
