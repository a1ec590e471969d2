"""Part a: how fast the relay empties a full outbox."""

from benchmarks.faults.world import World
from benchmarks.relay import ground
from benchmarks.relay.figures import Part, median, paired, spread

NAMES = (("bare", "bare"), ("bucket", "relay-bucket"), ("aggregate", "relay-aggregate"))
PER_STREAM = 10  # events of each stream


def measure(world: World, sizes: ground.Sizes, report: ground.Report) -> Part:
    """The relay in both modes against a bare loop, then against itself with Google's batching client."""
    events, fewer = sizes(50_000, 2_000), sizes(10_000, 1_000)
    rounds, turns = sizes(5, 1), sizes(3, 1)
    part = Part(
        "a",
        "Throughput",
        f"{events:,} events of 1 KB wait, {PER_STREAM} a stream, in a random order; one process empties the outbox"
        f" into a fresh Pub/Sub server in memory. In turns, {rounds} rounds (aggregate mode {turns}). The bare loop"
        " reads 1,000 rows of one bucket in order of position, sends them in one request under one ordering key and"
        " marks them in one update; table, indexes and disk are the same, and so is `synchronous_commit = off`."
        " Google's batching client stands in for our publisher in the same relay, with one ordering key per"
        f" aggregate; it and the relay as it is then have {fewer:,} events each, {turns} rounds.",
    )
    rates: dict[str, list[float]] = {"bare": [], "relay-bucket": [], "relay-aggregate": []}
    costs: dict[str, list[float]] = {name: [] for name in rates}
    with ground.a_place(world, "throughput") as place:
        outbox = ground.Outbox(place, events, events // PER_STREAM)
        for turn in range(rounds):
            for name in rates:
                if name != "relay-aggregate" or turn < turns:
                    report(f"a: {name}, round {turn + 1} of {rounds}")
                    drained = ground.drain(outbox, name)
                    rates[name].append(drained.rate)
                    costs[name].append(drained.cpu * 1e6)
    pairs: dict[str, list[float]] = {"batcher": [], "relay-aggregate": []}
    with ground.a_place(world, "batcher") as place:
        outbox = ground.Outbox(place, fewer, fewer // PER_STREAM)
        for turn in range(turns):
            for name in pairs:
                report(f"a: {name} with {fewer:,}, round {turn + 1} of {turns}")
                pairs[name].append(ground.drain(outbox, name).rate)
    bucket = paired(rates["relay-bucket"], rates["bare"])
    aggregate = paired(rates["relay-aggregate"], rates["bare"][: len(rates["relay-aggregate"])])
    client = paired(pairs["relay-aggregate"], pairs["batcher"])
    part.add("bare loop, events a second", spread(rates["bare"]))
    part.add("relay, bucket mode, events a second", spread(rates["relay-bucket"]))
    part.add("relay, aggregate mode, events a second", spread(rates["relay-aggregate"]))
    part.add("bucket mode against the bare loop", f"{bucket:.2f} ×", "≥ 0.8 ×", bucket >= 0.8)
    part.add("aggregate mode against the bare loop", f"{aggregate:.2f} ×")
    text = ", ".join(f"{name} {median(costs[key]):.0f} µs" for name, key in NAMES)
    part.add("CPU of the process itself, an event", text)
    part.add("Google's batching client in the relay, events a second", spread(pairs["batcher"]))
    part.add("the relay's own requests, same events", spread(pairs["relay-aggregate"]))
    part.add("aggregate mode against the batching client", f"{client:.2f} ×", "≥ 3 ×", client >= 3)
    return part
