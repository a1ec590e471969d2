"""The fault harness: writers, relays and a subscriber on real servers, and everything that can go wrong with them.

Writers commit through the product's flush and record in a ledger what PostgreSQL acknowledged. Relays are
killed, stopped, disconnected and scaled while PostgreSQL crashes, Redis and Pub/Sub become unreachable and the clock
jumps. At the end every acknowledged event must have arrived, each stream in order and without a gap, and nothing else.
"""
