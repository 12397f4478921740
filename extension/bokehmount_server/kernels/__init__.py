"""The server's end of the links to kernels.  Knows jupyter_server's kernel manager and none of its handlers."""
