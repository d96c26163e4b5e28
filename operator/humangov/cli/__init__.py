"""One file a command: arguments in, one call, lines out, an exit code.

main             the group; loads a command when it is called
run, plan, sweep, redrive, receipts, collect, uninstall_check, final_read
options          what commands share of options, and what their values mean
lookup           the tenant that a person names, in the cluster or in a manifest
manifests        documents of a file
signals          how a command is stopped
"""
