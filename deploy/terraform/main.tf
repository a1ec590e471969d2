# The same topology as `manage.py setup_pubsub` makes; a test compares the two. With both in use, this one makes it and
# the command only checks (`setup_pubsub --check`, every hour).

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.0"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

data "google_project" "this" {
  project_id = var.project_id
}

locals {
  # Pub/Sub's own agent, which forwards dead letters.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "events" {
  name                       = "cotton-erp-events"
  message_retention_duration = "604800s"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_pubsub_topic" "dead_letters" {
  name = "cotton-erp-events-dlq"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_pubsub_subscription" "events" {
  name                         = "cotton-erp-events-sub"
  topic                        = google_pubsub_topic.events.id
  ack_deadline_seconds         = 60
  enable_message_ordering      = true
  enable_exactly_once_delivery = false
  message_retention_duration   = "604800s"

  # Empty is never; unset would be 31 idle days, and then every event is lost.
  expiration_policy {
    ttl = ""
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 5
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_pubsub_subscription" "dead_letters" {
  name                       = "cotton-erp-events-dlq-sub"
  topic                      = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds       = 600
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }

  lifecycle {
    prevent_destroy = true
  }
}
