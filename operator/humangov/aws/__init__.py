"""AWS, one file a resource, all of one shape.

Each of stream, role, log_group, function and trigger has

- `observe(clients, names, …) -> Observed`: reads;
- `desired(names, …) -> Desired`: what the spec asks for, pure;
- `plan(observed, desired) -> list[Change]`: the writes that lead there, pure; empty: in sync;
- `apply(clients, change, observed, desired) -> Observed`: one write, and what its answer shows; the same object if
  AWS is too busy for it and nothing was written;
- `finding(observed, desired, …) -> Finding`: what to tell people, pure;
- `remove(clients, names, …)`: a deletion's step; reads what it is about to delete, and whether that is gone;
- `release(clients, names)`: the ownership tag is taken off what stays.

Only fields that we own are compared.
"""
