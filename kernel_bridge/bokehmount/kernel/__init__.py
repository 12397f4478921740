"""The kernel's side: what a notebook's user calls, and the kernel's end of the link.  IPython is imported only here."""
