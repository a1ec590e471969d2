"""The fault harness: writers, relays and a subscriber on real servers, and everything that can go wrong with them.

Writers commit through the product's own flush and keep a ledger of what PostgreSQL acknowledged. Relays are
killed, stopped, cut off and scaled while PostgreSQL crashes, Redis and Pub/Sub go away and the clock steps. In the
end every acknowledged event must have arrived, each stream in order and without a hole, and nothing else.
"""
