"""Lambda's event source for a DynamoDB stream, on a clock that tests set.

    mapping      the settings of an event source mapping, with Lambda's defaults and ranges
    filters      FilterCriteria → does a record reach the function; pure
    batches      which records make one batch; pure
    answers      what the function answered → from which record on the batch has failed; pure
    decisions    a failed batch → what is tried again, and what is given up; pure
    destination  the invocation record that Lambda writes to S3 for what was given up; pure
    permissions  what the function's role must allow before Lambda reads the stream or writes a failure
    clock        the one clock of all that follows
    source       shards and lanes: what is called when
    functions    the function behind it: the zip under AWS's runtime client, or in this process
    tenant       a table, its stream, a bucket and a log group in memory, with faults; and the application
    clients      the SDK's three clients before that tenant
    story        all of it together: one tenant's life, step by step
    walkthrough_function   the function that HumanGov had before, to compare with

The rules are those of https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html and its neighbours. What they leave
open is a setting here, so that a test can hold for either: `decisions.Reading`, and the pauses between attempts. What
Lambda does beside its documentation can't be shown here.
"""
