"""The final read of a tenant's stream, when it is deleted: its trigger is gone, and late removals are honoured yet.

final_read  one run: read the stream → have the function's own code handle what is young enough
shards      the stream's records, shard by shard, a page at a time
cluster     the final read of a HumanGovState of the cluster, and its status
"""
