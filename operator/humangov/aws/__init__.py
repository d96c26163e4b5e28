"""AWS, one file a resource, all of one shape.

Each of stream, role, log_group, function and trigger has

- `observe(clients, names, …) -> Observed`: reads;
- `desired(names, …) -> Desired`: what the spec asks for, pure;
- `plan(observed, desired) -> list[Change]`: the writes that lead there, pure; empty: in sync;
- `apply(clients, change, observed, desired) -> Observed`: one write, and the resource as its response shows it; the
  same object if AWS was busy and nothing was written;
- `finding(observed, desired, …) -> Finding`: the condition, pure;
- `remove(clients, names, …)`: one step of a deletion; reads before it deletes, and confirms the deletion;
- `release(clients, names)`: removes the ownership tag from a resource that stays.

Only fields that we own are compared.
"""
