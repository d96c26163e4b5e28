"""The final stream read of a deleted tenant: after the trigger's deletion, it handles the last removals.

final_read  one run: read the stream → handle recent records with the function's own code
shards      the stream's records, shard by shard and page by page
cluster     the final stream read for a HumanGovState in the cluster, and its status
"""
