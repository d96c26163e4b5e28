"""Proof of erasures for people: reads receipts from the function's log group, joins and prints them.

receipts       log lines → receipts
receipt_table  receipts → a table, CSV, JSON
"""
