"""What a HumanGovState means. Pure: nothing here calls AWS or Kubernetes, and the import linter holds that.

spec                 a HumanGovState as frozen types: what people declare, and what its metadata and status decide
fields               how an object of a manifest becomes such a type, and what is said of one that can't
names                every AWS name and ARN that derives from it
times                moments, as Kubernetes and receipts write them
allowed_names        which names the HumanGovStates of a namespace may use
conflicts            of two HumanGovStates that name the same resources, the older one wins
conflict_candidates  which others may be in conflict with one, found by name
conditions           what people see: findings → conditions and events
"""
