"""Finds and erases files that no record names and that no stream record will report.

The table itself is read by `humangov.reading`.

run            a sweep of one tenant: whether it may run, its mode, its result
cluster        the same for a HumanGovState in the cluster, and its status
stop           whether the sweep may continue
engine         the run: list → read → join → compare → check → write the list → read again → erase
search         the seam: what a search for orphans answers, on whatever engine it runs
candidates     which stored files may be orphans by name and age; of what a search returns, again; pure
local_search   a search in this process
listing        lists the bucket, several ranges of keys at once
incomplete_uploads  parts of files that no listing shows: counted, and aborted
local_join     joins what is stored and what is named in a file, which bounds memory
scratch_db     what becomes of the orphans of a run, in a file
stored_rows    stored files as rows of such files
shared_files   files that more than one record names
orphan_list    what each sweep saw, stored in the bucket for people and for the next sweep
list_lines     the lines of a stored list, read within limits
list_expiry    removes names, and later numbers, of old lists
earlier_lists  which of today's orphans earlier sweeps saw
dangling       orphans that a record may mean that names no file
spellings      what two names of the same file have in common; pure
safety_checks  reasons to erase nothing: a list of functions; pure
bucket_claim   claims: whose sweep owns these files; each tenant writes its own to the bucket
erasure        erases exactly what was seen, and nothing newer
result         what a sweep found and did; pure
status, output the result in the HumanGovState's status, and for people and scripts; pure
"""
