"""The server's side: BokehTornado and Server, stand-alone or inside the Jupyter server, and the links to kernels."""
