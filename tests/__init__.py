"""The tests of both packages; each folder mirrors one, then come those with real servers, kernels and browsers."""
