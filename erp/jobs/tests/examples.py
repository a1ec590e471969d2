"""One request that succeeds per endpoint of the jobs module."""

from erp.api.examples import Example

EXAMPLES = {
    "cancel": Example(
        lambda world, target: target.owner,
        {},
        lambda world: world.job(),
    ),
}
LISTS = {"/api/v1/jobs": ("INTERNAL_MANAGER", lambda world, viewer: world.job(owner=viewer))}
