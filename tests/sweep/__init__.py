"""The sweep, on a tenant in memory that checks every call by the SDK's own models.

world   the tenant: bucket, table, log group, the application that writes meanwhile, and what goes wrong
"""
