"""What bokehmount adds to the start of a kernel."""

from __future__ import annotations

import orjson

from benchmarks.routes import JupyterRoute, Route
from benchmarks.workload import Better, Metric, Observations, Scale, Workload, is_our_kernel

CELL = """
import json, time

def timed(statement):
    start = time.perf_counter()
    exec(statement, globals())
    return (time.perf_counter() - start) * 1e3

print(json.dumps({
    "import_bokeh": [timed("import bokeh")],
    "import_bokehmount": [timed("import bokehmount")],
    "load_ext": [timed("get_ipython().run_line_magic('load_ext', 'bokehmount')")],
}))
"""


async def import_time(route: Route, scale: Scale) -> Observations:
    assert isinstance(route, JupyterRoute)
    seen: Observations = {}
    for _ in range(scale.fresh_kernels):
        kernel = await route.jupyter.start_kernel()
        try:
            times = orjson.loads(await kernel.execute(CELL))
        finally:
            await kernel.stop()
        for name, values in times.items():
            seen.setdefault(name, []).extend(values)
    return seen


IMPORT_TIME = Workload(
    "import_time",
    "fresh kernels: `import bokeh`, then `import bokehmount`, then `%load_ext bokehmount`",
    (
        Metric("import_bokeh", "ms", Better.LOWER, "in a kernel that has imported nothing yet"),
        Metric("import_bokehmount", "ms", Better.LOWER, "beyond `import bokeh`"),
        Metric("load_ext", "ms", Better.LOWER, "beyond `import bokehmount`"),
    ),
    import_time,
    runs_on=is_our_kernel,
)
