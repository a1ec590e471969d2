"""A ``google.pubsub.v1`` server for one machine: the publisher and consumers of production run against it.

``python -m erp.embedded.pubsub --port 8085 --journal DIR`` starts it. It implements the methods that the product
uses as the service documents them; any other method answers UNIMPLEMENTED. Two differences: message retention is
stored but never drops a message; exactly-once delivery, push, filters, snapshots and seek are refused.
"""

SERVICE_AGENT = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
"""IAM member of Pub/Sub's own agent (project number 1); dead-lettering needs its two grants."""
