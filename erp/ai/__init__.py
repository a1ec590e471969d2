"""Typed questions with suggestions as answers. A suggestion never writes: a person's own call does.

A deterministic function answers every task; a remote model is asked beside it where settings, a prompt and a budget
allow it. The machinery knows no trade.
"""
