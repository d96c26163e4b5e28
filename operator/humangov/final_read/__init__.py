"""The final stream read of a deleted tenant: after the trigger's deletion, it handles what no invocation will handle.

cluster     for a HumanGovState in the cluster: record the mappings → read the streams → redrive → status
final_read  one run: read the streams → read the table → handle the records with the function's own code
"""
