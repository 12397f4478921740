"""The two-way channel between a Jupyter server and one kernel: its messages, and what may carry them."""
