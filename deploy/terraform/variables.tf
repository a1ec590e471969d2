variable "project_id" {
  description = "Google Cloud project (PUBSUB_PROJECT_ID)."
  type        = string
}

variable "region" {
  description = "Region in which messages are stored (PUBSUB_REGION); publishers use its locational endpoint."
  type        = string
  default     = "asia-south1"
}

# Members are written as IAM writes them, such as serviceAccount:relay@PROJECT.iam.gserviceaccount.com.

variable "relay_members" {
  description = "Who publishes: the relay's service account."
  type        = set(string)
}

variable "consumer_members" {
  description = "Who consumes: the service account of consume_events."
  type        = set(string)
}

variable "operator_members" {
  description = "Members that run dlq, outbox replay and the periodic count of dead letters: the operators' group and the worker's service account."
  type        = set(string)
}

variable "preflight_members" {
  description = "Members that read topology and grants: relay, worker, operators (doctor, setup_pubsub --check)."
  type        = set(string)
}

variable "deploy_members" {
  description = "Who applies this, by workload identity, without key files."
  type        = set(string)
}

variable "notification_channels" {
  description = "Notification channels of Cloud Monitoring by level: page and ticket."
  type        = map(list(string))

  validation {
    condition     = alltrue([for level in ["page", "ticket"] : contains(keys(var.notification_channels), level)])
    error_message = "Name the channels of both levels, page and ticket."
  }
}
