"""bokehmount beside its rivals: the same app, the same client, interleaved rounds in one run.

``python -m benchmarks --help`` says how to run it; ``app`` is what is served, ``routes`` the ways of serving it,
``client`` the one browser that all of them get, ``workloads`` what it does there and ``report`` what comes out.
Linux only: memory is read from /proc.
"""
