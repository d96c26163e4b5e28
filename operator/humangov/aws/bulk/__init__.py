"""Bulk reads: the listings of an account and region, of which each tells something of many tenants at once.

A listing only confirms what a single read has shown before. None of its values goes into a decision, a write or a
condition: what it does not confirm is read singly (docs/design/2026-11-29-bulk-reads.md).
"""
