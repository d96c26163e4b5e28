"""Proof of erasures for people: reads receipts from the function's log group, joins, counts and prints them.

log_events     which log events are lines of receipts
receipts       log lines → receipts
receipt_table  receipts → a table, CSV, JSON
chain_check    whether the lines of each log stream follow each other
checkpoint, checkpoint_store, verification   where chains end, stored each day; what has changed since
before_apply, before_apply_verdicts          what table and bucket are like before a manifest is applied
period         the span of a report
ledger         receipts → a database
figures        queries of the database → what a report counts
orphan_lists   what sweeps of the period found
surroundings   log group, settings, stops, approvals
gaps           what could not be shown, and why
report         all of these → a report, and its JSON
pictures, page, report_files   a report → its page and files
states         the reports of all tenants → a table, the worst first
"""
