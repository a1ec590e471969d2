# Dead-lettering needs both of these: without one, nothing is forwarded and a refused event comes for ever.

resource "google_pubsub_topic_iam_member" "agent_publishes_dead_letters" {
  topic  = google_pubsub_topic.dead_letters.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "agent_acknowledges_events" {
  subscription = google_pubsub_subscription.events.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# The relay publishes events, and copies of those that Pub/Sub refuses.

resource "google_pubsub_topic_iam_member" "relay_publishes_events" {
  for_each = var.relay_members
  topic    = google_pubsub_topic.events.id
  role     = "roles/pubsub.publisher"
  member   = each.value
}

resource "google_pubsub_topic_iam_member" "relay_publishes_dead_letters" {
  for_each = var.relay_members
  topic    = google_pubsub_topic.dead_letters.id
  role     = "roles/pubsub.publisher"
  member   = each.value
}

resource "google_pubsub_subscription_iam_member" "consumer_subscribes" {
  for_each     = var.consumer_members
  subscription = google_pubsub_subscription.events.id
  role         = "roles/pubsub.subscriber"
  member       = each.value
}

# Operators redrive and replay to the topic, and read the dead letters.

resource "google_pubsub_topic_iam_member" "operator_publishes_events" {
  for_each = var.operator_members
  topic    = google_pubsub_topic.events.id
  role     = "roles/pubsub.publisher"
  member   = each.value
}

resource "google_pubsub_subscription_iam_member" "operator_reads_dead_letters" {
  for_each     = var.operator_members
  subscription = google_pubsub_subscription.dead_letters.id
  role         = "roles/pubsub.subscriber"
  member       = each.value
}

# Preflight: see topics, subscriptions and who may what on them.

resource "google_project_iam_custom_role" "preflight" {
  role_id     = "cottonErpPreflight"
  title       = "Cotton ERP preflight"
  description = "Read the grants of topics and subscriptions."
  permissions = ["pubsub.subscriptions.getIamPolicy", "pubsub.topics.getIamPolicy"]
}

locals {
  topics        = { events = google_pubsub_topic.events.id, dead_letters = google_pubsub_topic.dead_letters.id }
  subscriptions = { events = google_pubsub_subscription.events.id, dead_letters = google_pubsub_subscription.dead_letters.id }

  preflight_roles = { look = "roles/pubsub.viewer", grants = google_project_iam_custom_role.preflight.id }

  preflight_grants = {
    for grant in setproduct(["events", "dead_letters"], ["look", "grants"], var.preflight_members) :
    "${grant[0]} ${grant[1]} ${grant[2]}" => { on = grant[0], role = local.preflight_roles[grant[1]], member = grant[2] }
  }

  deploy_grants = {
    for grant in setproduct(["events", "dead_letters"], var.deploy_members) :
    "${grant[0]} ${grant[1]}" => { on = grant[0], member = grant[1] }
  }
}

resource "google_pubsub_topic_iam_member" "preflight" {
  for_each = local.preflight_grants
  topic    = local.topics[each.value.on]
  role     = each.value.role
  member   = each.value.member
}

resource "google_pubsub_subscription_iam_member" "preflight" {
  for_each     = local.preflight_grants
  subscription = local.subscriptions[each.value.on]
  role         = each.value.role
  member       = each.value.member
}

resource "google_pubsub_topic_iam_member" "deploy" {
  for_each = local.deploy_grants
  topic    = local.topics[each.value.on]
  role     = "roles/pubsub.admin"
  member   = each.value.member
}

resource "google_pubsub_subscription_iam_member" "deploy" {
  for_each     = local.deploy_grants
  subscription = local.subscriptions[each.value.on]
  role         = "roles/pubsub.admin"
  member       = each.value.member
}
