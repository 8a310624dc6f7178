"""The subcommands of `mistudio`, one module per subject. They only parse, call and print.

Everything heavy is imported inside the commands: `mistudio --help` and `mistudio samples` must be quick.
"""
