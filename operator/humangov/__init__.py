"""The HumanGovState operator: erases the files of deleted records, one HumanGovState manifest a tenant."""

__version__ = "0.1.0"
