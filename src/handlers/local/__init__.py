"""The whole of Regulars on one machine: the real `template.yaml` in a local AWS, without an account and without Docker.

`commands.run` starts it, `stack.running` is the same as a context manager, `commands.token` and `commands.reset` go with
it. `emulator` owns the processes, `deploy` the template, `people` the tokens, `demo` what is in it, `graphiql` the page.
"""
