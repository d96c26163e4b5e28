"""What no event will bring again: files that no record names, found and erased.

run            a sweep of one tenant: may it be, in which mode, what became of it
cluster        the same of a HumanGovState of the cluster, and its status
stop           whether it may go on
engine         the run itself: list → read → join → compare → check → write the list → read again → erase
stored_files   what is stored: keys that may be orphans by their name and age
listing        the bucket, several ranges of keys at once
named_files    what is named: every key that a record mentions
snapshot       the table, read consistently, at a share of its capacity
scratch_db     both, in a file: joined there, so that memory stays bounded
shared_files   files that more than one record names
orphan_list    what each sweep saw, kept in the bucket for people and for the next
earlier_lists  which of today's orphans earlier sweeps saw
safety_checks  why nothing is to be erased: a list of functions; pure
bucket_claim   who sweeps these files, written into the bucket once
erasure        exactly what was seen goes, and nothing newer
progress       what these share: how a run is stopped, S3's time, how far it is
result         what a sweep has found and done; pure
status, output that, for the HumanGovState's status, and for a person or a script; pure
"""
