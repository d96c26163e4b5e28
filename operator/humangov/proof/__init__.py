"""What proves an erasure, for people: read back from the function's log group, joined, printed.

receipts       lines of the log → receipts
receipt_table  receipts → a table, CSV, JSON
"""
