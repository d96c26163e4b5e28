"""What no event will bring again.

clients   the SDK's clients that runs here use, and as whom
engine    one sweep: listing, scan, join, brakes, second scan, erasure
listing   the bucket, several ranges of keys at once
scan      the table, consistently, at a share of its capacity
scratch   what was seen, in a file: joined there, so that memory stays bounded
brakes    why nothing is to be erased; pure
claim     who sweeps these files, written into the bucket once
shared    files that more than one record names
manifest  what each sweep saw, kept in the bucket for people and for the next
erasure   exactly what was seen goes, and nothing newer
summary   what people, scripts and the status are told of a sweep; pure
work      what these share: how a run is stopped, S3's time, progress
redrive   the function's failed invocations, through its own code; then away with their records
failures  what Lambda wrote about an invocation that it gave up; pure
waiting   those invocation records in the bucket: listed, read, removed
end       the last look at the stream of a tenant that is being deleted
receipts  the lines of proof into the function's log, before the erasure that they announce
told      what a person or a script is told of a redrive; pure
"""
