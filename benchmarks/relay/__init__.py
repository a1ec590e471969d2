"""Measure cost and speed of the outbox: throughput, latency, claims, ``emit``, an outage, and other libraries.

Every figure is a median of paired runs in one go, and every goal is a ratio or a limit on this very machine:
absolute figures of another machine say little.
"""
