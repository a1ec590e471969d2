# What only Google counts exactly: messages that wait, and their age. The product's own figures have their alerts in
# ../prometheus/alerts.yaml.

locals {
  alerts = {
    dead_letters = {
      title        = "Dead letters wait"
      level        = "ticket"
      subscription = google_pubsub_subscription.dead_letters.name
      metric       = "num_undelivered_messages"
      above        = 0
      seconds      = 600
      runbook      = "dlq-growing"
    }
    dead_letters_old = {
      title        = "Dead letters wait for more than a day"
      level        = "page"
      subscription = google_pubsub_subscription.dead_letters.name
      metric       = "oldest_unacked_message_age"
      above        = 86400
      seconds      = 600
      runbook      = "dlq-growing"
    }
    consumer_behind = {
      title        = "Events wait for the consumer"
      level        = "page"
      subscription = google_pubsub_subscription.events.name
      metric       = "oldest_unacked_message_age"
      above        = 600
      seconds      = 300
      runbook      = "event-gap"
    }
  }
}

resource "google_monitoring_alert_policy" "subscription" {
  for_each     = local.alerts
  display_name = each.value.title
  combiner     = "OR"
  severity     = each.value.level == "page" ? "CRITICAL" : "WARNING"

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"pubsub_subscription\"",
        "resource.labels.subscription_id = \"${each.value.subscription}\"",
        "metric.type = \"pubsub.googleapis.com/subscription/${each.value.metric}\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "${each.value.seconds}s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Runbook: docs/runbooks/${each.value.runbook}.md"
  }

  notification_channels = var.notification_channels[each.value.level]
}

resource "google_monitoring_alert_policy" "dead_letters_rising" {
  display_name = "Dead letters have been rising for an hour"
  combiner     = "OR"
  severity     = "CRITICAL"

  conditions {
    display_name = "more than an hour ago, when there were some already"

    condition_prometheus_query_language {
      query = join("", [
        "pubsub_googleapis_com:subscription_num_undelivered_messages{subscription_id=\"${google_pubsub_subscription.dead_letters.name}\"}",
        " > (pubsub_googleapis_com:subscription_num_undelivered_messages{subscription_id=\"${google_pubsub_subscription.dead_letters.name}\"} offset 1h > 0)",
      ])
      duration            = "600s"
      evaluation_interval = "60s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Runbook: docs/runbooks/dlq-growing.md"
  }

  notification_channels = var.notification_channels["page"]
}
