"""One adversarial world: function, redrive, sweep and final stream read against AWS's rules, faults and an application.

    clock, setting, weather   true time and wrong host clocks; what a history is about; what goes wrong, and how often
    bucket, table, stream, log_group   what is there, with the truth that AWS does not tell
    actor, pool         a process at work: what it was told and has read; its threads, without threads
    promises            the names under which what is broken is counted
    audit, sweep_audit  every erasure and every line of the log is judged when it happens; a sweep's by its own rules
    sweep_result        whether what an ended sweep says is so
    account             a call: it takes time, fails or ends its caller, and other things happen meanwhile
    s3, dynamodb, logs  AWS's operations, as Python calls
    clients, function, jobs   our code before it: the SDK's clients, the handler's environments, the operator's jobs
    application         people and the application, who keep to the declared contract
    report_audit        whether the figures of a report are true
    ending, history     the quiet nights and the last judgement; one history from its seed

Lambda's event source is `testing.event_source`. Replay: `python -m testing.world SEED`. Many: `make bench NAME=world`.

What must hold, and how it is counted:

`live_files_lost`. At the moment at which a file is erased, no record may name it, and none may be about to: the
application uploads a file before it writes the record, and the file counts from its upload on. Reserved keys are never
erased. Three declared limits excuse a loss:
  - milliseconds: the record began to name the file after this process last read that record consistently, or the file
    was uploaded after this process last listed it;
  - one record, one file name (`Unique` and `Reused`): another record than the freed one names the file, and neither the
    batch, as Lambda first sent it, nor anything else that this process was handed told of it. What Lambda bisects,
    retries, gives up or hands out again is still that batch. A redrive has no such excuse: it reads the table;
  - under `Shared` nothing excuses anything: no event erases a file.
A sweep in mode Delete has rules of its own. It erases a file only if it is older than `minimumAge`, if a sweep saw it
`confirmAfter` before, and if nobody is to write its record again because an older table lacks it. It has to know of
every record that was written before its orphan list or before its last reading of the table began, of what the stream
held when it last read the record's shard, and of a file that some record has named all the time since that reading
began. What is excused: a record written since, a file uploaded since the sweep's look at just this object, and a record
that moved during the reading if the stream could not be read. Without a stream, a reading that began 15 minutes before
excuses nothing.
`silent_orphans`. After events are drained, what Lambda counts as done has an outcome for each file that it freed, or a
    line that says why nothing can be made of it, or waits as a failed invocation. After quiet nights each file that
    no record names is in the last sweep's orphan list; in mode Delete there is none, unless that sweep says why.
`receipt_violations`. An intent is stored before a file goes; an outcome that says so is stored after it went. Each
    outcome is true when it is stored: `erased` means that nothing older than the removal is left, `absent` that
    nothing was there, `kept` that this process erased nothing of it, `kept: live` that a record names it. What a sweep
    erased, also one that was killed, some sweep's receipt says after the quiet nights.
`status_violations`. What redrive, sweep and final stream read report is what happened: removed and left failed
    invocations, the numbers of a sweep and of its orphan list, no live file in that list, `complete` only if every
    removal in the stream was handled. A sweep counts what it erased; its result is not Erased if every erasure failed
    or if it ended early; once stopped it begins no other batch.

`report_violations`. What `humangov report` counts of the history is what the auditor saw: each file that was begun or
    settled counts once, what counts as erased is not there, what went is not shown as kept, no whole chain is broken,
    and where nobody has said what became of a file, the report says that.

In mode Delete nights pass, sweeps overlap, are stopped and killed at any call, tables are restored, created anew and
young, records move wherever a scan would miss them (`restless`), names in an orphan list are uploaded again (`Reused`),
uploads in parts last for days, a person approves orphan lists, and the store may not honour conditions.

It can't show IAM, HTTP, the SDK's own retries, Object Lock, capacity, a clock of S3 that differs from DynamoDB's, or
two processes that alternate more finely than one within a call of the other.
"""
