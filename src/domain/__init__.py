"""The loyalty program: values, rules and use cases.

Read, decide, commit: a use case reads through a `ledger.Store`, a pure function decides, and one `ledger.commit` writes the
decision. No module here knows AWS, GraphQL, the clock or the environment; `now` is always an argument.
"""
