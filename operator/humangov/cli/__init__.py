"""One module per command: arguments in, one call, lines out, an exit code.

main             the group; loads a command when it is called
run, plan, sweep, redrive, receipts, report, check, checkpoint, verify, leaks, uninstall_check, final_read
options          options that commands share, and how their values are parsed
lookup           finds the tenant in the cluster or in a manifest
manifests        reads the documents of a manifest
signals          stops a command on SIGINT or SIGTERM
"""
